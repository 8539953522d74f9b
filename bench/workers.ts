/**
 * Thousands of workers connected to one coordinator, and to three: how fast they come, what their
 * heartbeats and their connections cost, how long it takes until all are welcomed again after a change
 * of leader, and whether any lease is lost by it. Baseline: a server of nothing but `ws` that
 * welcomes them and answers their heartbeats. `--workers N`, default 2000.
 */
import { spawn } from 'node:child_process'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from '../src/client/client.ts'
import { isMusterError } from '../src/protocol/errors.ts'
import { BenchCluster } from './parts/cluster.ts'
import { Crowd } from './parts/crowd.ts'
import { cpuMs, loadWords, residentBytes } from './parts/programs.ts'
import { BenchSingle } from './parts/single.ts'
import { formatTable } from './table.ts'

const asked = process.argv.indexOf('--workers')
const workers = asked < 0 ? 2000 : Number(process.argv[asked + 1])
const heartbeatsMs = 8000

type Row = (string | number)[]
type Costs = { readonly perSecond: number; readonly heartbeatUs: number; readonly bytesEach: number }

/** Connects them all, and looks at what their heartbeats cost. `pids`: of all coordinators. */
async function costs(crowd: Crowd, pids: readonly number[]): Promise<Costs> {
  const resident = () => pids.reduce((sum, pid) => sum + residentBytes(pid), 0)
  const used = () => pids.reduce((sum, pid) => sum + cpuMs(pid), 0)
  const beforeBytes = resident()
  const idleFromMs = used()
  await delay(2000)
  const idleMs = (used() - idleFromMs) / 2000
  const startMs = performance.now()
  await crowd.connect()
  const perSecond = (workers * 1000) / (performance.now() - startMs)
  await delay(3000)
  const before = { ...(await crowd.count()), usedMs: used(), atMs: performance.now() }
  await delay(heartbeatsMs)
  const after = { ...(await crowd.count()), usedMs: used(), atMs: performance.now() }
  const usedMs = after.usedMs - before.usedMs - idleMs * (after.atMs - before.atMs)
  const bytesEach = (resident() - beforeBytes) / workers
  return { perSecond, heartbeatUs: (usedMs * 1000) / (after.beats - before.beats), bytesEach }
}

async function bare(): Promise<Costs> {
  const program = path.join(import.meta.dirname, 'parts', 'bare-lines.ts')
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = new Promise((resolve) => child.once('exit', resolve))
  const port = await new Promise<string>((resolve) => child.stdout.once('data', (text) => resolve(String(text).trim())))
  try {
    await using crowd = new Crowd({ urls: [`http://127.0.0.1:${port}`], token: '', count: workers })
    return await costs(crowd, [child.pid!])
  } finally {
    child.stdin.end()
    await exited
  }
}

const baseline = await bare()
const rows: Row[] = []
const changes: Row[] = []

function report(what: string, { perSecond, heartbeatUs, bytesEach }: Costs): void {
  rows.push([
    what,
    perSecond,
    perSecond / baseline.perSecond,
    heartbeatUs,
    heartbeatUs / baseline.heartbeatUs,
    bytesEach / 1024,
    bytesEach / baseline.bytesEach,
  ])
}

/** Whoever leads may change under the load: what can't be answered is asked again. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!isMusterError(error) || error.code !== 'unavailable') throw error
      await delay(50)
    }
  }
}

/** A run of one task for each: who is connected is also given work, and its report is taken. */
async function runForAll(client: Client): Promise<void> {
  const files = Array.from({ length: workers }, (_, at) => `some-folder/test-${at}.test.ts`)
  const { run } = await patiently(() => client.submit({ framework: 'none', files, cpus: 1 }, 'bench-workers'))
  for (;;) {
    const view = await patiently(() => client.run(run))
    if (view.state === 'finished') {
      if (view.verdict !== 'passed') throw new Error(JSON.stringify(view))
      return
    }
    await delay(50)
  }
}

type Coordinators = { readonly urls: () => readonly string[]; readonly token: string }

/** Workers that were given up, as these coordinators have counted when they led. */
async function leasesLost({ urls, token }: Coordinators): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const url of urls()) {
    const response = await fetch(`${url}/api/v1/metrics`, { headers: { authorization: `Bearer ${token}` } })
    counts.set(url, Number(/^muster_workers_left_total (\S+)$/m.exec(await response.text())?.[1] ?? 0))
  }
  return counts
}

/** `act`: resolves when it has happened to everybody. */
async function observed(what: string, crowd: Crowd, of: Coordinators, act: () => Promise<unknown>): Promise<void> {
  const before = { ...(await crowd.count()), lost: await leasesLost(of) }
  const startMs = performance.now()
  await act()
  const tookMs = performance.now() - startMs
  const after = { ...(await crowd.count()), lost: await leasesLost(of) }
  let lost = 0
  for (const [url, count] of after.lost) lost += count - (before.lost.get(url) ?? 0)
  changes.push([what, tookMs, after.reconnects - before.reconnects, lost])
}

report('ws alone', baseline)
{
  await using single = await BenchSingle.start()
  await using crowd = new Crowd({ urls: [single.url], token: single.workerToken, count: workers })
  report('1 coordinator, SQLite', await costs(crowd, [single.pid]))
  const of = { urls: () => [single.url], token: single.token }
  await observed('1 coordinator: each is given a task, and it is reported', crowd, of, () => runForAll(single.client()))
}
{
  await using cluster = await BenchCluster.start({ etcd: 3, coordinators: 3 })
  const urls = cluster.names.map((name) => cluster.url(name))
  await using crowd = new Crowd({ urls, token: cluster.workerToken, count: workers })
  report(
    '3 coordinators, all of them',
    await costs(
      crowd,
      cluster.names.map((name) => cluster.programs.pid(name)),
    ),
  )
  let killed = ''
  const of = { urls: () => urls.filter((url) => url !== killed), token: cluster.token }
  const leader = await cluster.settled()
  await observed('3 coordinators: the same', crowd, of, () => runForAll(cluster.client(leader)))
  await observed('leadership is handed over', crowd, of, async () => {
    const welcomed = crowd.welcomedAgain()
    await patiently(() => cluster.client(leader).post('/cluster/transfer', {}))
    await welcomed
  })
  const next = await cluster.settled()
  await observed('the leader is killed', crowd, of, async () => {
    const welcomed = crowd.welcomedAgain()
    killed = cluster.url(next)
    cluster.kill(next)
    await welcomed
  })
}
process.stdout.write(
  `${formatTable({
    title: `${workers} workers: connections and heartbeats`,
    columns: ['connected to', 'connects/s', 'ratio', 'CPU µs a heartbeat', 'ratio', 'KiB each', 'ratio'],
    rows,
    note: `Heartbeats: one a second of each. ${loadWords()}`,
  })}\n`,
)
process.stdout.write(
  formatTable({
    title: `${workers} workers: what happens to all of them`,
    columns: ['what', 'ms until all', 'reconnected', 'leases lost'],
    rows: changes,
    note: 'A change of leader: until the next leader has welcomed everybody.',
  }),
)
