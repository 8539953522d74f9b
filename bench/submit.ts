/**
 * Durable submissions per second over the real API, against SQLite alone committing as much in groups
 * of the same size. The physical limit is one fdatasync per group and the CPU time of one HTTP request
 * per submission, on a core shared with the kernel and the load generator.
 */
import { drive, post } from './parts/raw-http.ts'
import { rawRowsPerSecond } from './parts/raw-sqlite.ts'
import { startHost } from './parts/host.ts'
import { formatTable } from './table.ts'

const bulkSize = 1000
const bulkRequests = 200
const singles = 30_000
const inFlight = 50

async function openRun(socketPath: string): Promise<string> {
  const { Client } = await import('../src/client/client.ts')
  const { NodeTransport } = await import('../src/cli/node-transport.ts')
  const transport = new NodeTransport(`unix:${socketPath}`)
  const view = await new Client(transport, 'bench').submit(
    { framework: 'none', files: [], open: true, noWorkerTimeoutMs: 3_600_000 },
    'bench',
  )
  transport.close()
  return view.run
}

async function rate(count: number, work: () => Promise<void>): Promise<number> {
  const startMs = performance.now()
  await work()
  return count / ((performance.now() - startMs) / 1000)
}

function counted(count: number, make: (index: number) => Buffer): () => Buffer | undefined {
  let index = 0
  return () => (index < count ? make(index++) : undefined)
}

await using host = await startHost()
const { socketPath } = host
const run = await openRun(socketPath)
const bulkPath = `/api/v1/runs/${run}/tasks`
const bulk = (index: number) =>
  post(bulkPath, {
    files: Array.from({ length: bulkSize }, (_, at) => `src/folder-${index}/some-test-file-${at}.test.ts`),
  })
const single = (index: number) => post('/api/v1/tasks', { run, file: `src/one-by-one/test-file-${index}.test.ts` })
const bodies = Array.from({ length: bulkRequests }, (_, index) => bulk(index))
await drive({
  to: { path: socketPath },
  connections: inFlight,
  next: counted(3000, (index) => single(singles + index)),
})
const bulkRate = await rate(bulkSize * bulkRequests, () =>
  drive({ to: { path: socketPath }, connections: 4, next: counted(bulkRequests, (index) => bodies[index]!) }),
)
const singleRate = await rate(singles, () =>
  drive({ to: { path: socketPath }, connections: inFlight, next: counted(singles, single) }),
)
const rawBulk = rawRowsPerSecond(bulkSize * bulkRequests, bulkSize * 4)
const rawSingle = rawRowsPerSecond(singles, inFlight)
process.stdout.write(
  formatTable({
    title: 'Durable submissions',
    columns: ['what', 'tasks/s', 'SQLite alone, rows/s', 'ratio', 'goal tasks/s'],
    rows: [
      [`bulk, ${bulkSize} a request, 4 in flight`, bulkRate, rawBulk, bulkRate / rawBulk, 40_000],
      [`single, ${inFlight} in flight`, singleRate, rawSingle, singleRate / rawSingle, 10_000],
    ],
    note: 'Load generator and coordinator share the machine.',
  }),
)
