/**
 * Reads per second of one coordinator, leader and follower, against a bare `node:http` server that
 * answers the same bytes; idle, and while some thousand tasks a second are written. The physical
 * limit is the bare server: parsing a request and writing an answer is all it does. Each case and its
 * baseline take turns, in rounds of a quarter of a second; shown are the medians of the rounds, and the
 * CPU time per request of all of them, which others that use the machine disturb less: less what the
 * coordinator uses for writes meanwhile.
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
type Figures = { readonly perSecond: number[]; cpuMs: number; requests: number; tookMs: number; besidesMs: number }

/** One round: as many requests as there is time for. `besides`: a process that isn't asked. */
async function round(target: Target, besides: Target, request: Buffer, figures: Figures): Promise<void> {
  const beforeMs = cpuMs(target.pid)
  const besidesMs = cpuMs(besides.pid)
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
  const tookMs = performance.now() - startMs
  figures.perSecond.push((count * 1000) / tookMs)
  figures.cpuMs += cpuMs(target.pid) - beforeMs
  figures.besidesMs += cpuMs(besides.pid) - besidesMs
  figures.requests += count
  figures.tookMs += tookMs
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
  const nothing = { cpuMs: 0, requests: 0, tookMs: 0, besidesMs: 0 }
  const ours: Figures = { perSecond: [], ...nothing }
  const theirs: Figures = { perSecond: [], ...nothing }
  for (let count = 0; count < rounds; count += 1) {
    await round(target, bare, request, ours)
    await round(bare, target, request, theirs)
  }
  const ratio = median(ours.perSecond.map((one, at) => one / theirs.perSecond[at]!))
  // What the coordinator does beside reads (writes, heartbeats) is seen while the other one is asked.
  const besidesMs = (theirs.besidesMs / theirs.tookMs) * ours.tookMs
  const oursUs = ((ours.cpuMs - besidesMs) * 1000) / ours.requests
  const theirsUs = (theirs.cpuMs * 1000) / theirs.requests
  const role = name === leader ? 'leader' : 'follower'
  return [
    what,
    role,
    median(ours.perSecond),
    median(theirs.perSecond),
    ratio,
    oursUs,
    theirsUs,
    theirsUs / oursUs,
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
    note: loadWords(),
  }),
)
