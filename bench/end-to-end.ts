/**
 * Tasks per second through everything: submitted over the API, assigned to one real worker over its
 * WebSocket, carried out by the no-op runner, reported, made durable. And the time from a submission
 * to its start at 100 a second. Baseline: SQLite alone writing one row per task in groups of 64.
 */
import { WebSocket } from 'ws'
import { Client } from '../src/client/client.ts'
import { NodeTransport } from '../src/cli/node-transport.ts'
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
    if (message.run.verdict !== 'passed' || message.run.accounted !== count) throw new Error(JSON.stringify(message.run))
  }
  return count / ((performance.now() - startMs) / 1000)
}

/** From sending one task to the feed's word that it has been carried out (start and end come together here). */
async function latencies(): Promise<number[]> {
  const view = await client.submit({ framework: 'none', files: [], open: true }, `paced-${performance.now()}`)
  const socket = new WebSocket(`ws+unix:${host.socketPath}:/api/v1/feed?run=${view.run}`)
  const sentMs = new Map<string, number>()
  const taken: number[] = []
  const done = Promise.withResolvers<void>()
  socket.on('message', (data: Buffer) => {
    const nowMs = performance.now()
    for (const line of data.toString('utf8').split('\n')) {
      const message = JSON.parse(line) as { type: string; file?: string; tasks?: { file: string }[] }
      const files = message.type === 'task-started' ? message.tasks!.map((task) => task.file) : message.type === 'task-ended' ? [message.file!] : []
      for (const file of files) {
        const sent = sentMs.get(file)
        if (sent === undefined) continue
        sentMs.delete(file)
        taken.push(nowMs - sent)
        if (taken.length === paced) done.resolve()
      }
    }
  })
  await new Promise((resolve) => socket.once('open', resolve))
  for (let index = 0; index < paced; index += 1) {
    const file = `t${index}`
    sentMs.set(file, performance.now())
    void transport
      .request({ method: 'POST', path: '/api/v1/tasks', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ run: view.run, file }) })
      .then(async (response) => {
        for await (const _ of response.body) continue
      })
    await new Promise((resolve) => setTimeout(resolve, paceMs))
  }
  await done.promise
  socket.close()
  await client.act(view.run, 'seal')
  return taken.toSorted((a, b) => a - b)
}

await throughput(5000)
const perSecond = await throughput(tasks)
const sorted = await latencies()
const { rawRowsPerSecond } = await import('./parts/raw-sqlite.ts')
const raw = rawRowsPerSecond(50_000, 64)
process.stdout.write(
  formatTable({
    title: 'End to end with a no-op runner, one worker',
    columns: ['what', 'figure', 'baseline', 'ratio', 'goal'],
    rows: [
      ['tasks/s, submitted to recorded (baseline: SQLite rows/s)', perSecond, raw, perSecond / raw, '≥ 10 000'],
      ['ms from submission to start at 100/s, p50', sorted[Math.floor(paced * 0.5)]!, '', '', '≤ 1.5'],
      ['ms from submission to start at 100/s, p99', sorted[Math.floor(paced * 0.99)]!, '', '', '≤ 5'],
    ],
  }),
)
transport.close()
