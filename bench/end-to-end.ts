/**
 * Tasks per second through everything: submitted over the API, assigned to one real worker over its
 * WebSocket, carried out by the no-op runner, reported, made durable. And the time from a submission
 * to its start at 100 a second. Baselines: SQLite alone writing one row
 * per task in groups of 64; the median of single synced commits, of which a start needs one.
 */
import { WebSocket } from 'ws'
import { Client } from '../src/client/client.ts'
import { NodeTransport } from '../src/cli/node-transport.ts'
import { workerProtocolVersion } from '../src/protocol/worker-protocol-version.ts'
import type { CoordinatorMessage, WorkerMessage } from '../src/protocol/worker-messages.ts'
import { startHost } from './parts/host.ts'
import { formatTable } from './table.ts'

const tasks = 100_000
const paced = 500
const paceMs = 10

await using host = await startHost({ worker: true })
const transport = new NodeTransport(`unix:${host.socketPath}`)
const client = new Client(transport, 'bench')
while ((await client.workers()).length === 0) await new Promise((resolve) => setTimeout(resolve, 20))

async function throughput(count: number): Promise<number> {
  const files = Array.from({ length: count }, (_, index) => `src/folder-${index % 97}/test-file-${index}.test.ts`)
  const startMs = performance.now()
  const view = await client.submit({ framework: 'none', files }, `throughput-${count}-${startMs}`)
  for await (const message of client.watch(view.run)) {
    if (message.type !== 'end') continue
    if (message.run.verdict !== 'passed' || message.run.accounted !== count)
      throw new Error(JSON.stringify(message.run))
  }
  return count / ((performance.now() - startMs) / 1000)
}

/**
 * From sending one task to its arrival at a worker that starts it at once: a worker of the real
 * protocol in this process, so that one clock measures both ends. It reports every task as passed.
 */
async function latencies(socketPath: string): Promise<number[]> {
  const view = await client.submit(
    { framework: 'none', files: [], open: true, labels: { paced: 'yes' } },
    `paced-${performance.now()}`,
  )
  const sentMs = new Map<string, number>()
  const taken: number[] = []
  const done = Promise.withResolvers<void>()
  const socket = new WebSocket(`ws+unix:${socketPath}:/api/v1/worker`)
  await new Promise((resolve) => socket.once('open', resolve))
  const tell = (message: WorkerMessage) => socket.send(JSON.stringify(message))
  let seq = 0
  socket.on('message', (data: Buffer) => {
    const nowMs = performance.now()
    const message = JSON.parse(data.toString('utf8')) as CoordinatorMessage
    if (message.type !== 'assign') return
    for (const file of message.files) {
      taken.push(nowMs - sentMs.get(file)!)
      if (taken.length === paced) done.resolve()
    }
    const { batch, token, tasks } = message
    tell({
      type: 'reported',
      seq: (seq += 1),
      batch,
      token,
      results: [],
      plain: tasks.map((task) => [task, 'passed', 0]),
    })
    const end = {
      reason: 'completed',
      exitCode: 0,
      signal: null,
      startupMs: 0,
      wallMs: 0,
      interrupted: [],
      timedOut: [],
      errors: [],
    } as const
    tell({ type: 'ended', seq: (seq += 1), batch, token, ...end, interrupted: [], timedOut: [], errors: [] })
  })
  const capabilities = {
    os: 'linux',
    arch: 'x64',
    cpus: 1,
    memoryBytes: 1,
    host: 'bench',
    labels: { paced: 'yes' },
    tools: {},
  }
  tell({
    type: 'hello',
    protocol: workerProtocolVersion,
    worker: 'bench',
    name: 'bench',
    version: '1',
    capabilities,
    held: [],
    draining: false,
  })
  const heartbeat = setInterval(() => tell({ type: 'heartbeat' }), 1000)
  for (let index = 0; index < paced; index += 1) {
    const file = `t${index}`
    await new Promise((resolve) => setTimeout(resolve, paceMs))
    sentMs.set(file, performance.now())
    void transport
      .request({
        method: 'POST',
        path: '/api/v1/tasks',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ run: view.run, file }),
      })
      .then(async (response) => {
        for await (const _ of response.body) continue
      })
  }
  await done.promise
  clearInterval(heartbeat)
  await client.act(view.run, 'seal')
  socket.close()
  return taken.toSorted((a, b) => a - b)
}

await throughput(5000)
const perSecond = await throughput(tasks)
const sorted = await latencies(host.socketPath)
const { rawCommitMs, rawRowsPerSecond } = await import('./parts/raw-sqlite.ts')
const raw = rawRowsPerSecond(50_000, 64)
const commit = rawCommitMs(500)
const p50 = sorted[Math.floor(paced * 0.5)]!
const p99 = sorted[Math.floor(paced * 0.99)]!
process.stdout.write(
  formatTable({
    title: 'End to end with a no-op runner, one worker',
    columns: ['what', 'figure', 'baseline', 'ratio', 'goal'],
    rows: [
      ['tasks/s, submitted to recorded (baseline: SQLite rows/s)', perSecond, raw, perSecond / raw, '≥ 10 000'],
      ['ms from submission to start at 100/s, p50 (baseline: one commit)', p50, commit.p50, p50 / commit.p50, '≤ 1.5'],
      ['ms from submission to start at 100/s, p99 (baseline: one commit)', p99, commit.p99, p99 / commit.p99, '≤ 5'],
    ],
  }),
)
transport.close()
