/**
 * How long a person waits before anything happens: `muster --help`, and `muster serve` until its
 * health endpoint answers and until it is stopped again, each against `node -e 0` measured in turns
 * with them. Median and fastest of several; the first of each warms the compile cache and the disk
 * and is left out.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const rounds = 10
const startTimeoutMs = 20_000
const muster = path.join(import.meta.dirname, '..', 'bin', 'muster')

function timeToExit(command: string, args: readonly string[]): Promise<number> {
  const startedMs = performance.now()
  const child = spawn(command, args, { stdio: 'ignore' })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(performance.now() - startedMs)
      else reject(new Error(`${command} ${args.join(' ')} ended with ${code}`))
    })
  })
}

function freePort(): Promise<number> {
  const server = net.createServer()
  return new Promise((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo
      server.close(() => resolve(port))
    })
  })
}

/** Any answer counts, 401 as well: the coordinator has replayed its log and serves. */
async function untilItAnswers(port: number): Promise<void> {
  const deadlineMs = performance.now() + startTimeoutMs
  for (;;) {
    try {
      await fetch(`http://127.0.0.1:${port}/api/v1/health`)
      return
    } catch (error) {
      if (performance.now() > deadlineMs) throw new Error('the coordinator did not answer', { cause: error })
      await delay(2)
    }
  }
}

async function coordinatorTimes(): Promise<{ startMs: number; stopMs: number }> {
  const data = await mkdtemp(path.join(os.tmpdir(), 'muster-bench-startup-'))
  const port = await freePort()
  const startedMs = performance.now()
  const child = spawn(muster, ['serve', '--listen', `127.0.0.1:${port}`, '--data', data], { stdio: 'ignore' })
  const closed = new Promise<void>((resolve) => child.on('close', () => resolve()))
  try {
    await untilItAnswers(port)
    const startMs = performance.now() - startedMs
    const stoppedMs = performance.now()
    child.kill('SIGTERM')
    await closed
    return { startMs, stopMs: performance.now() - stoppedMs }
  } finally {
    child.kill('SIGKILL')
    await closed
    await rm(data, { recursive: true, force: true })
  }
}

const times: Record<string, number[]> = {
  'node -e 0': [],
  'muster --help': [],
  'serve: answers': [],
  'serve: stops': [],
}
for (let round = 0; round <= rounds; round++) {
  const bare = await timeToExit(process.execPath, ['-e', '0'])
  const help = await timeToExit(muster, ['--help'])
  const serve = await coordinatorTimes()
  if (round === 0) continue
  times['node -e 0']?.push(bare)
  times['muster --help']?.push(help)
  times['serve: answers']?.push(serve.startMs)
  times['serve: stops']?.push(serve.stopMs)
}
const median = (values: readonly number[]): number =>
  values.toSorted((one, other) => one - other)[values.length >> 1] ?? 0
const baseline = median(times['node -e 0'] ?? [])
for (const [name, values] of Object.entries(times)) {
  const figures = `median ${median(values).toFixed(0).padStart(5)} ms   fastest ${Math.min(...values)
    .toFixed(0)
    .padStart(5)} ms`
  console.log(`${name.padEnd(16)} ${figures}   ${(median(values) / baseline).toFixed(1)} × node -e 0`)
}
