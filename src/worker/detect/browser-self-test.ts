/**
 * Asks a started headless browser what it can do: it is shown a page of ours from a port of this host, and the page posts
 * what it computed. So nothing depends on flags, versions or a debugging protocol. It needs a real origin with two headers,
 * since memory is shared between threads in isolated pages only.
 *
 * Drawing and computing in software is allowed and told apart: `hardware` is said only where the browser names what does it, does not
 * call it a fallback, and it is not known to be the processor. Where it names nothing it is `unknown`.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { endLeftovers } from '../process-tree.ts'
import { lowerPriority } from './ask.ts'
import { launchOf, type Launch } from './browser-launch.ts'
import type { Browser } from './browsers.ts'
import type { Host } from './probe.ts'
import { isSelfTest, selfTestPage, type SelfTest } from './self-test-page.ts'

// Not imported: see worker/endpoint.ts.
const http = process.getBuiltinModule('node:http')

const answerBytesMax = 64 * 1024

/** Rejects when it can't be started, or does not answer in time. */
export async function selfTest(host: Host, browser: Browser, timeoutMs: number): Promise<SelfTest> {
  const profile = await mkdtemp(path.join(host.tempDir, 'muster-browser-'))
  const secret = randomBytes(16).toString('hex')
  const answered = Promise.withResolvers<SelfTest>()
  const server = await serve(secret, answered.resolve, answered.reject)
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    server.close()
    // What it was writing when it was ended may appear a moment later.
    await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
  try {
    const { port } = server.address() as AddressInfo
    const launch = await launchOf(browser, profile, `http://127.0.0.1:${port}/${secret}/`)
    return await show(host, browser, launch, { profile, secret, timeoutMs, answered })
  } finally {
    await close()
  }
}

type Showing = {
  readonly profile: string
  readonly secret: string
  readonly timeoutMs: number
  readonly answered: PromiseWithResolvers<SelfTest>
}

/** Starts it, waits for what the page posts, and ends all that it has started. */
async function show(host: Host, browser: Browser, launch: Launch, showing: Showing): Promise<SelfTest> {
  const { profile, secret, timeoutMs, answered } = showing
  const name = path.basename(browser.file)
  const mark = `MUSTER_PROBE=${secret}`
  const child = spawn(browser.file, launch.args, {
    cwd: profile,
    detached: true,
    stdio: 'ignore',
    env: { ...host.env, ...launch.env, MUSTER_PROBE: secret },
  })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()).once('error', () => resolve()))
  child.once('error', (error) => answered.reject(new Error(`${name} cannot be started: ${error.message}`)))
  child.once('exit', (code, signal) =>
    answered.reject(new Error(`${name} ended with ${code ?? signal} before the self-test page had answered`)),
  )
  if (child.pid !== undefined) lowerPriority(child.pid)
  const timer = setTimeout(
    () => answered.reject(new Error(`${name} did not answer the self-test page within ${timeoutMs / 1000} s`)),
    timeoutMs,
  )
  const onAbort = (): void => answered.reject(new Error(`${name} was not waited for: the worker ends`))
  host.signal.addEventListener('abort', onAbort, { once: true })
  if (host.signal.aborted) onAbort()
  try {
    return await answered.promise
  } finally {
    clearTimeout(timer)
    host.signal.removeEventListener('abort', onAbort)
    if (child.pid !== undefined) await endLeftovers(child.pid, mark)
    await gone
  }
}

function serve(secret: string, resolve: (answer: SelfTest) => void, reject: (error: Error) => void): Promise<Server> {
  const server = http.createServer((request, response) => {
    if (request.method === 'GET' && request.url === `/${secret}/`) {
      response.writeHead(200, {
        'content-type': 'text/html',
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-embedder-policy': 'require-corp',
      })
      return void response.end(selfTestPage)
    }
    if (request.method !== 'POST' || request.url !== `/${secret}/answer`) return void response.writeHead(404).end()
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text
      if (body.length > answerBytesMax) request.destroy()
    })
    request.on('end', () => {
      response.writeHead(204).end()
      const answer = parse(body)
      if (isSelfTest(answer)) resolve(answer)
      else reject(new Error(`the self-test page answered '${body.slice(0, 80)}'`))
    })
  })
  return new Promise((started, failed) => {
    server.once('error', failed).listen(0, '127.0.0.1', () => started(server))
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Not JSON: the caller says what it was instead.
    return undefined
  }
}
