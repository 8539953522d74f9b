/**
 * Durable submissions over HTTP, with 50 and with 400 in flight: to one coordinator on SQLite, and to three on
 * an etcd of three and of five members that wait for the disk, through the leader and through a follower.
 * The physical limit of a cluster is one append after the other, each a round trip to etcd with an fsync on a
 * majority; what arrives meanwhile is the next entry, so few in flight show the time of two appends, and many the
 * rate that the cluster can hold. The baselines are the raw engine's appends
 * of entries of the same size, one in flight, times the tasks that an entry had; and the one
 * coordinator. All take turns, because the machine has moods; shown are medians of the rounds.
 */
import path from 'node:path'
import type { Client } from '../src/client/client.ts'
import { parseEtcdUrl } from '../src/log/etcd/url.ts'
import { openEtcdLog } from '../src/log/etcd/etcd-log.ts'
import { SqliteLog } from '../src/log/sqlite.ts'
import type { Log } from '../src/log/log.ts'
import { BenchCluster } from './parts/cluster.ts'
import { MemorySnapshotBlobs } from './parts/no-blobs.ts'
import { cpuMs, loadWords, median, quantile } from './parts/programs.ts'
import { drive, post, tcp } from './parts/raw-http.ts'
import { BenchSingle } from './parts/single.ts'
import { formatTable } from './table.ts'

const rounds = 3
const roundMs = 1500
/** A coordinator's first thousands of requests are slower, until they are compiled. */
const warmUps = 2
const bulkSize = 1000
/** A run holds a million, and a coordinator turns more away when it has more than that waiting. */
const tasksMax = 300_000
const rawMs = 400

type Kind = 'tasks' | 'runs' | 'bulk'
const tables: readonly { readonly kind: Kind; readonly inFlight: number }[] = [
  { kind: 'tasks', inFlight: 50 },
  { kind: 'tasks', inFlight: 400 },
  { kind: 'runs', inFlight: 50 },
  { kind: 'runs', inFlight: 400 },
  { kind: 'bulk', inFlight: 4 },
]
const words: Record<Kind, string> = {
  tasks: 'POST /tasks',
  runs: 'POST /runs',
  bulk: `POST /runs/:run/tasks, ${bulkSize} each`,
}

type Target = {
  readonly what: string
  readonly url: string
  readonly token: string
  /** Of the coordinator that is asked. */
  readonly pid: number
  /** Of the coordinator that leads. */
  readonly client: Client
  /** Reads the counters of the coordinator that leads. */
  readonly leader: string
  /** The engine alone. */
  readonly log: Log
  /** Goal or figure to beat, of tasks. */
  readonly goal: string
}

type Round = { readonly perSecond: number; readonly rawPerSecond: number; readonly cpuUs: number }
type Figures = { readonly rounds: Round[]; readonly latencies: number[] }

await using single = await BenchSingle.start()
await using three = await BenchCluster.start({ etcd: 3, coordinators: 3 })
await using five = await BenchCluster.start({ etcd: 5, coordinators: 3 })
await using sqlite = await SqliteLog.open(path.join(single.directory, 'raw'))
await using rawThree = await rawEtcd(three)
await using rawFive = await rawEtcd(five)
const targets = [
  {
    what: '1 coordinator, SQLite',
    url: single.url,
    token: single.token,
    pid: single.pid,
    client: single.client(),
    leader: single.url,
    log: sqlite,
    goal: '> 5 000',
  },
  ...(await ofCluster(three, '3 members', rawThree, '> 4 200, ≥ 0.8')),
  ...(await ofCluster(five, '5 members', rawFive, '> 3 800')),
]

async function rawEtcd(cluster: BenchCluster) {
  const address = parseEtcdUrl(cluster.etcd.url('/raw'))
  return await openEtcdLog({ address, blobs: new MemorySnapshotBlobs(), appendTimeoutMs: 5000, budgetBytes: 2 ** 31 })
}

async function ofCluster(cluster: BenchCluster, what: string, log: Log, goal: string): Promise<Target[]> {
  const leader = await cluster.settled()
  const follower = cluster.names.find((name) => name !== leader)!
  return [leader, follower].map((name) => ({
    what: `${what}, ${name === leader ? 'leader' : 'follower'}`,
    url: cluster.url(name),
    token: cluster.token,
    pid: cluster.programs.pid(name),
    client: cluster.client(leader),
    leader: cluster.url(leader),
    log,
    goal,
  }))
}

/** Sums of two histograms: entries, their bytes, their inputs. */
async function entries(target: Target): Promise<{ count: number; bytes: number; inputs: number }> {
  const response = await fetch(`${target.leader}/api/v1/metrics`, {
    headers: { authorization: `Bearer ${target.token}` },
  })
  const text = await response.text()
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? 0)
  return {
    count: value('muster_log_entry_bytes_count'),
    bytes: value('muster_log_entry_bytes_sum'),
    inputs: value('muster_log_entry_inputs_sum'),
  }
}

let made = 0
let turnedAway = 0
function request(kind: Kind, token: string, run: string): Buffer {
  made += 1
  const file = `src/some-folder/test-file-${made}.test.ts`
  if (kind === 'tasks') return post('/api/v1/tasks', { run, file }, token)
  if (kind === 'bulk') {
    const files = Array.from({ length: bulkSize }, (_, at) => `src/folder-${made}/some-test-file-${at}.test.ts`)
    return post(`/api/v1/runs/${run}/tasks`, { files }, token)
  }
  return post('/api/v1/runs', { framework: 'none', files: [file], noWorkerTimeoutMs: 3_600_000 }, token)
}

async function measure(kind: Kind, inFlight: number, target: Target, figures: Figures): Promise<void> {
  const open = { framework: 'none', files: [], open: true, noWorkerTimeoutMs: 3_600_000 }
  const { run } = await target.client.submit(open, `open-${made}`)
  const before = await entries(target)
  const beforeMs = cpuMs(target.pid)
  const startMs = performance.now()
  const each = kind === 'bulk' ? bulkSize : 1
  let count = 0
  await drive({
    to: tcp(target.url),
    connections: inFlight,
    next: () => {
      if (performance.now() - startMs > roundMs || count * each >= tasksMax) return undefined
      count += 1
      return request(kind, target.token, run)
    },
    onAnswer: (latencyMs) => figures.latencies.push(latencyMs),
    onTurnedAway: () => {
      count -= 1
      turnedAway += 1
    },
  })
  const tookMs = performance.now() - startMs
  const usedMs = cpuMs(target.pid) - beforeMs
  const after = await entries(target)
  const appended = after.count - before.count
  const appendsPerSecond = await raw(target.log, Math.ceil((after.bytes - before.bytes) / appended))
  await target.client.act(run, 'cancel')
  figures.rounds.push({
    perSecond: (count * each * 1000) / tookMs,
    rawPerSecond: (appendsPerSecond * count * each) / appended,
    cpuUs: (usedMs * 1000) / (count * each),
  })
}

/** Appends a second of the engine alone, one in flight. */
async function raw(log: Log, byteLength: number): Promise<number> {
  const { epoch, position } = await log.claim('bench')
  const bytes = new Uint8Array(byteLength).fill(65)
  const startMs = performance.now()
  let count = 0
  while (performance.now() - startMs < rawMs) {
    count += 1
    const result = await log.append(epoch, position + count, bytes)
    if (result.type !== 'ok') throw new Error(`expected ok, received ${result.type}`)
  }
  return (count * 1000) / (performance.now() - startMs)
}

for (const { kind, inFlight } of tables) {
  const all = targets.map((target) => ({ target, figures: { rounds: [], latencies: [] } as Figures }))
  for (let round = -warmUps; round < rounds; round += 1) {
    for (const { target, figures } of all)
      await measure(kind, inFlight, target, round < 0 ? { rounds: [], latencies: [] } : figures)
  }
  const of = (figures: Figures, what: keyof Round) => figures.rounds.map((round) => round[what])
  const alone = of(all[0]!.figures, 'perSecond')
  const rows = all.map(({ target, figures }) => {
    const perSecond = of(figures, 'perSecond')
    return [
      target.what,
      median(perSecond),
      quantile(figures.latencies, 0.5),
      quantile(figures.latencies, 0.99),
      median(perSecond.map((one, at) => one / alone[at]!)),
      median(of(figures, 'rawPerSecond')),
      median(figures.rounds.map((round) => round.perSecond / round.rawPerSecond)),
      median(of(figures, 'cpuUs')),
      median(of(all[0]!.figures, 'cpuUs')) / median(of(figures, 'cpuUs')),
      kind === 'bulk' ? '' : target.goal,
    ]
  })
  process.stdout.write(
    `${formatTable({
      title: `${words[kind]}: durable tasks per second, ${inFlight} requests in flight`,
      columns: [
        'through',
        'tasks/s',
        'p50 ms',
        'p99 ms',
        'of one',
        'engine alone',
        'ratio',
        'CPU µs',
        'of one',
        'goal',
      ],
      rows,
      note: `CPU: of the coordinator that is asked, for each task; by it 'of one' is what a machine for each would show. Turned away so far: ${turnedAway}. ${loadWords()}`,
    })}\n`,
  )
}
