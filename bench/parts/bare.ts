/** Starts a bare `node:http` server that answers what a coordinator has answered. `await using` it. */
import { spawn } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'

/** An answer's bytes. `headers`: without those that `node:http` itself adds. */
export type Recorded = { readonly headers: Readonly<Record<string, string>>; readonly body: string }

export type BareServer = AsyncDisposable & {
  readonly url: string
  readonly pid: number
  readonly answer: (answers: Readonly<Record<string, Recorded>>) => Promise<void>
}

const program = path.join(import.meta.dirname, 'bare-server.ts')

export async function startBare(): Promise<BareServer> {
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const port = (await lines.next()).value as string
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid!,
    async answer(answers) {
      child.stdin.write(`${JSON.stringify(answers)}\n`)
      await lines.next()
    },
    async [Symbol.asyncDispose]() {
      const exited = new Promise((resolve) => child.once('exit', resolve))
      child.stdin.end()
      await exited
    },
  }
}

const ownHeaders = new Set(['date', 'connection', 'keep-alive', 'transfer-encoding'])

export async function record(url: string, token: string): Promise<Recorded> {
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  const headers = Object.fromEntries([...response.headers].filter(([name]) => !ownHeaders.has(name)))
  return { headers, body: await response.text() }
}
