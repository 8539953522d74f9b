/**
 * Reads per second of one coordinator, leader and follower, against a bare `node:http` server that
 * answers the same bytes; idle, and while some thousand tasks a second are written. The physical
 * limit is the bare server: parsing a request and writing an answer is all it does. Each case and its
 * baseline take turns, in rounds of a quarter of a second; shown are the medians of the rounds, and the
 * CPU time per request of all of them, which others that use the machine disturb less.
 */
import { record, startBare } from './parts/bare.ts'
import { BenchCluster } from './parts/cluster.ts'
import { cpuMs, loadWords, median } from './parts/programs.ts'
import { drive, get, post, tcp } from './parts/raw-http.ts'
import { formatTable } from './table.ts'

const rounds = 12
const roundMs = 250
const connections = 32
const writesPerSecond = 1000
const finishedRuns = 20
const openTasks = 1000

await using cluster = await BenchCluster.start({ etcd: 3, coordinators: 2 })
await using bare = await startBare()
const leader = await cluster.settled()
const follower = cluster.names.find((name) => name !== leader)!
const { token } = cluster
const client = cluster.client(leader)

const spec = { framework: 'none', noWorkerTimeoutMs: 3_600_000 } as const
const files = (count: number) => Array.from({ length: count }, (_, at) => `src/folder-${at % 17}/file-${at}.test.ts`)
let finished = ''
for (let count = 0; count < finishedRuns; count += 1) {
  const { run } = await client.submit({ ...spec, files: files(10) }, `finished-${count}`)
  await client.act(run, 'cancel')
  finished = run
}
const open = await client.submit({ ...spec, files: files(openTasks), open: true }, 'open')
/** Takes what is written meanwhile, so that what is read stays as long as it was. */
const written = await client.submit({ ...spec, files: [], open: true }, 'written')

const cases = [
  ['GET /runs/:run, finished', `/api/v1/runs/${finished}`],
  ['GET /runs/:run, waiting', `/api/v1/runs/${open.run}`],
  [`GET /runs, ${finishedRuns + 2}`, '/api/v1/runs'],
  ['GET /runs/:run/tasks, 100', `/api/v1/runs/${open.run}/tasks?limit=100`],
  ['GET /tasks, 1000', '/api/v1/tasks'],
] as const

type Target = { readonly url: string; readonly pid: number }
type Figures = { readonly perSecond: number[]; cpuMs: number; requests: number }

/** One round: as many requests as there is time for. */
async function round(target: Target, request: Buffer, figures: Figures): Promise<void> {
  const beforeMs = cpuMs(target.pid)
  const startMs = performance.now()
  let count = 0
  await drive({
    to: tcp(target.url),
    connections,
    next: () => {
      if (performance.now() - startMs > roundMs) return undefined
      count += 1
      return request
    },
  })
  figures.perSecond.push(count / ((performance.now() - startMs) / 1000))
  figures.cpuMs += cpuMs(target.pid) - beforeMs
  figures.requests += count
}

/** Writes at a steady rate until the returned function is called, which says at which. */
function writeLoad(): () => Promise<number> {
  let going = true
  let sent = 0
  const startMs = performance.now()
  const next = () => {
    if (!going) return undefined
    if (sent >= ((performance.now() - startMs) / 1000) * writesPerSecond) return 2
    sent += 1
    return post('/api/v1/tasks', { run: written.run, file: `w${sent}.ts` }, token)
  }
  const done = drive({ to: tcp(cluster.url(leader)), connections: 32, next })
  return async () => {
    going = false
    const perSecond = sent / ((performance.now() - startMs) / 1000)
    await done
    return perSecond
  }
}

type Row = (string | number)[]

async function measure(what: string, path: string, name: string): Promise<Row> {
  const target = { url: cluster.url(name), pid: cluster.programs.pid(name) }
  await bare.answer({ [path]: await record(target.url + path, token) })
  const request = get(path, token)
  const ours: Figures = { perSecond: [], cpuMs: 0, requests: 0 }
  const theirs: Figures = { perSecond: [], cpuMs: 0, requests: 0 }
  for (let count = 0; count < rounds; count += 1) {
    await round(target, request, ours)
    await round(bare, request, theirs)
  }
  const ratio = median(ours.perSecond.map((one, at) => one / theirs.perSecond[at]!))
  const costUs = (figures: Figures) => (figures.cpuMs * 1000) / figures.requests
  const role = name === leader ? 'leader' : 'follower'
  return [
    what,
    role,
    median(ours.perSecond),
    median(theirs.perSecond),
    ratio,
    costUs(ours),
    costUs(theirs),
    costUs(theirs) / costUs(ours),
    '≥ 0.7',
  ]
}

const columns = ['what', 'of the', 'reads/s', 'bare/s', 'ratio', 'CPU µs', 'bare µs', 'ratio CPU', 'goal']
const idle: Row[] = []
for (const [what, path] of cases) for (const name of [leader, follower]) idle.push(await measure(what, path, name))
process.stdout.write(
  formatTable({
    title: 'Reads per second of one coordinator, nothing else to do',
    columns,
    rows: idle,
    note: loadWords(),
  }),
)
const busy: Row[] = []
const endWrites = writeLoad()
for (const [what, path] of cases) for (const name of [leader, follower]) busy.push(await measure(what, path, name))
const perSecond = await endWrites()
process.stdout.write(
  formatTable({
    title: `Reads per second of one coordinator, while ${Math.round(perSecond)} tasks a second are written`,
    columns,
    rows: busy,
    note: `The CPU time of a coordinator includes that of the writes. ${loadWords()}`,
  }),
)
