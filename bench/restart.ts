/**
 * From the start of a coordinator's process until it is ready, with 100 000 and 1 000 000 tasks, once
 * all of them in the log and once in a snapshot with a short tail: on SQLite by itself, and joining
 * a cluster that has a leader. And what it holds in memory then. The physical limit is to read what
 * there is and to parse it as JSON: that is the baseline. CPU times are compared, since others use the
 * machine too; that of a start with nothing to read is left out. `--small` leaves out the million.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { DirectoryBlobs } from '../src/blobs/directory.ts'
import { EtcdCluster, freePorts } from '../src/log/fixtures/etcd-cluster.ts'
import { openEtcdLog } from '../src/log/etcd/etcd-log.ts'
import { parseEtcdUrl } from '../src/log/etcd/url.ts'
import type { Log } from '../src/log/log.ts'
import { SqliteLog } from '../src/log/sqlite.ts'
import { startHost, type BenchHost } from './parts/host.ts'
import { writeLongLog } from './parts/long-log.ts'
import { cpuMs, loadWords, median, residentBytes } from './parts/programs.ts'
import { formatTable } from './table.ts'

const sizes = process.argv.includes('--small') ? [100_000] : [100_000, 1_000_000]
/** Of each start; of those with a million tasks only one. */
const rounds = 3

type Start = {
  readonly readyMs: number
  readonly usedMs: number
  readonly residentBytes: number
  readonly heapBytes: number
}

function get(socketPath: string, asked: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const request = http.get({ socketPath, path: asked, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => (text += part))
      response.on('end', () => resolve({ status: response.statusCode!, text }))
    })
    request.on('error', reject)
  })
}

/** Starts, waits until it says that it is ready, and takes note. `after`: what to do with it then. */
async function timed(start: () => Promise<BenchHost>): Promise<Start> {
  const startMs = performance.now()
  await using host = await start()
  while ((await get(host.socketPath, '/health/ready')).status !== 200)
    await new Promise((resolve) => setTimeout(resolve, 5))
  const readyMs = performance.now() - startMs
  const usedMs = cpuMs(host.pid)
  const { text } = await get(host.socketPath, '/metrics')
  const heapBytes = Number(/^nodejs_heap_size_used_bytes (\S+)$/m.exec(text)?.[1])
  return { readyMs, usedMs, residentBytes: residentBytes(host.pid), heapBytes }
}

async function several(tasks: number, start: () => Promise<BenchHost>): Promise<Start> {
  const starts: Start[] = []
  for (let count = 0; count < (tasks > 100_000 ? 1 : rounds); count += 1) starts.push(await timed(start))
  const of = (what: keyof Start) => median(starts.map((one) => one[what]))
  return {
    readyMs: of('readyMs'),
    usedMs: of('usedMs'),
    residentBytes: of('residentBytes'),
    heapBytes: of('heapBytes'),
  }
}

/** Reads all there is and parses it. */
async function baselineMs(log: Log): Promise<number> {
  const times: number[] = []
  for (let count = 0; count < rounds; count += 1) {
    const before = process.cpuUsage()
    const snapshot = await log.getSnapshot()
    let held: unknown = snapshot && JSON.parse(zstdDecompressSync(snapshot.bytes).toString('utf8'))
    for (let from = (snapshot?.position ?? 0) + 1; ;) {
      const read = await log.read(from, 8 * 1024 * 1024)
      if (read.type !== 'entries' || read.entries.length === 0) break
      for (const entry of read.entries) held = JSON.parse(Buffer.from(entry.bytes).toString('utf8'))
      from += read.entries.length
    }
    const { user, system } = process.cpuUsage(before)
    times.push((user + system) / 1000)
    if (held === undefined) throw new Error('nothing was read')
  }
  return median(times)
}

type Row = (string | number)[]
const rows: Row[] = []
const thousands = (tasks: number) => tasks.toLocaleString('en').replaceAll(',', ' ')

function report(what: string, tasks: number, start: Start, empty: Start, baseMs: number): void {
  rows.push([
    `${what}, ${thousands(tasks)}`,
    start.readyMs,
    start.usedMs,
    empty.usedMs,
    baseMs,
    (start.usedMs - empty.usedMs) / baseMs,
    start.residentBytes / 2 ** 20,
    start.heapBytes / 2 ** 20,
    (start.heapBytes - empty.heapBytes) / tasks,
  ])
}

async function withDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'muster-bench-restart-'))
  try {
    return await use(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const words = (snapshot: boolean) => (snapshot ? 'in a snapshot' : 'in the log')

async function alone(tasks: number, snapshot: boolean, empty: Start): Promise<void> {
  await withDirectory(async (directory) => {
    let baseMs
    {
      await using log = await SqliteLog.open(path.join(directory, 'log'))
      await writeLongLog(log, tasks, snapshot)
      baseMs = await baselineMs(log)
    }
    report(`SQLite, ${words(snapshot)}`, tasks, await several(tasks, () => startHost({ directory })), empty, baseMs)
  })
}

async function joining(tasks: number, snapshot: boolean, empty: Start | undefined): Promise<Start> {
  return await withDirectory(async (directory) => {
    await using etcd = await EtcdCluster.start({ sync: true })
    const blobs = path.join(directory, 'blobs')
    const ports = await freePorts(2)
    const member = (name: string, port: number) =>
      startHost({ directory: path.join(directory, name), cluster: { etcd: etcd.url(), blobs, port } })
    let baseMs = 0
    if (tasks > 0) {
      await using log = await openEtcdLog({
        address: parseEtcdUrl(etcd.url()),
        blobs: await DirectoryBlobs.open(blobs),
        budgetBytes: 2 ** 31,
        appendTimeoutMs: 5000,
      })
      await writeLongLog(log, tasks, snapshot)
      baseMs = await baselineMs(log)
    }
    await using leader = await member('leader', ports[0]!)
    while ((await get(leader.socketPath, '/health/ready')).status !== 200)
      await new Promise((resolve) => setTimeout(resolve, 20))
    const start = await several(tasks, () => member('joining', ports[1]!))
    if (empty) report(`etcd, ${words(snapshot)}`, tasks, start, empty, baseMs)
    return start
  })
}

const emptyAlone = await withDirectory((directory) => several(0, () => startHost({ directory })))
for (const tasks of sizes) for (const snapshot of [false, true]) await alone(tasks, snapshot, emptyAlone)
const emptyJoining = await joining(0, false, undefined)
for (const tasks of sizes) for (const snapshot of [false, true]) await joining(tasks, snapshot, emptyJoining)
process.stdout.write(
  formatTable({
    title: 'Restart: from the start of the process until it is ready, by where the tasks are',
    columns: ['tasks', 'ready ms', 'CPU ms', 'if empty', 'JSON', 'ratio', 'RSS MiB', 'heap MiB', 'B per task'],
    rows,
    note: `Ratio of CPU times: (ready - if empty) / JSON, which is to read and parse the same bytes. ${loadWords()}`,
  }),
)
