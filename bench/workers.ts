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

/** A run of one task for each: who is connected is also given work, and its report is taken. */
async function runForAll(client: Client, name: string): Promise<number> {
  const files = Array.from({ length: workers }, (_, at) => `${name}-${at}.test.ts`)
  const startMs = performance.now()
  const { run } = await client.submit({ framework: 'none', files, cpus: 1 }, name)
  for (;;) {
    const view = await client.run(run)
    if (view.state === 'finished') {
      if (view.verdict !== 'passed') throw new Error(JSON.stringify(view))
      return performance.now() - startMs
    }
    await delay(50)
  }
}

/** Workers that were given up, as the log has it: everybody of the crowd should be there still. */
async function lost(client: Client): Promise<number> {
  const views = await client.workers()
  const connected = views.filter((one) => one.state !== 'disconnected').length
  return workers - connected
}

async function changed(what: string, crowd: Crowd, client: () => Client, act: () => Promise<unknown>): Promise<void> {
  const before = await crowd.count()
  const welcomed = crowd.welcomedAgain()
  const startMs = performance.now()
  await act()
  await welcomed
  const tookMs = performance.now() - startMs
  const after = await crowd.count()
  await delay(500)
  changes.push([what, tookMs, after.reconnects - before.reconnects, await lost(client())])
}

report('ws alone', baseline)
{
  await using single = await BenchSingle.start()
  await using crowd = new Crowd({ urls: [single.url], token: single.workerToken, count: workers })
  report('1 coordinator, SQLite', await costs(crowd, [single.pid]))
  const tookMs = await runForAll(single.client(), 'all')
  changes.push([`1 coordinator: a run of ${workers} tasks`, tookMs, 0, await lost(single.client())])
}
{
  await using cluster = await BenchCluster.start({ etcd: 3, coordinators: 3 })
  const urls = cluster.names.map((name) => cluster.url(name))
  await using crowd = new Crowd({ urls, token: cluster.workerToken, count: workers })
  let leader = await cluster.settled()
  const pids = cluster.names.map((name) => cluster.programs.pid(name))
  report('3 coordinators, all of them', await costs(crowd, pids))
  const client = () => cluster.client(leader)
  const tookMs = await runForAll(client(), 'all')
  changes.push([`3 coordinators: a run of ${workers} tasks`, tookMs, 0, await lost(client())])
  await changed('leadership is handed over', crowd, client, async () => {
    await client().post('/cluster/transfer', {})
    leader = await cluster.settled()
  })
  await changed('the leader is killed', crowd, client, async () => {
    cluster.kill(leader)
    leader = cluster.names.find((name) => name !== leader)!
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
    columns: ['what', 'ms until all', 'reconnected', 'lost'],
    rows: changes,
    note: 'A change of leader: until the next leader has welcomed everybody.',
  }),
)
