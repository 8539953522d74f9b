/**
 * From the loss of the leading coordinator to the first entry of the next one, as seen in etcd itself,
 * while a worker runs a test. The physical limit: noticing (a refused connection, some milliseconds;
 * or 400 ms of silence), one claim and one append, each a round trip with an fsync on a majority; and
 * for a lost host etcd's own election first. So the baselines, from the same minutes: one append by
 * itself, and the gap in writes that etcd alone leaves when its leader is killed.
 */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { BenchCluster } from './parts/cluster.ts'
import { MemorySnapshotBlobs } from './parts/no-blobs.ts'
import { loadWords, median } from './parts/programs.ts'
import { openEtcdLog, type EtcdLog } from '../src/log/etcd/etcd-log.ts'
import { parseEtcdUrl } from '../src/log/etcd/url.ts'
import { formatTable } from './table.ts'

const trials = 10

await using cluster = await BenchCluster.start({ etcd: 3, coordinators: 3 })
await using log = await openEtcdLog({ address: parseEtcdUrl(cluster.etcd.url()), blobs: new MemorySnapshotBlobs() })

// A test that goes on through all of it: what is interrupted begins again, and says so.
const begun = path.join(cluster.directory, 'begun')
const gate = path.join(cluster.directory, 'gate')
await cluster.startWorker('worker', ['--cpus', '1'])
const client = cluster.client('c1')
const run = await client.submit(
  {
    framework: 'command',
    files: ['long'],
    workspace: { type: 'none' },
    context: {
      env: {},
      detection: null,
      suite: {
        name: 'long',
        discover: ['long'],
        run: ['sh', '-c', `echo begun >> ${begun}; while [ ! -e ${gate} ]; do sleep 0.2; done`],
        results: 'exit-code',
      },
    },
  },
  'bench-failover',
)

type Trial = (leader: string) => Promise<() => Promise<void>>

/** Resolves with the time at which an entry of a newer epoch is seen in the log. */
async function nextTerm(etcd: EtcdLog): Promise<{ readonly seen: Promise<number>; readonly stop: () => void }> {
  const { position, epoch } = await etcd.head()
  const { promise, resolve } = Promise.withResolvers<number>()
  const stop = etcd.tail(position + 1, {
    entries: (entries) => {
      if (entries.some((entry) => entry.epoch > epoch)) resolve(performance.now())
    },
    claimed: () => undefined,
    resumed: () => undefined,
  })
  return { seen: promise, stop }
}

async function measure(trial: Trial): Promise<number[]> {
  const times: number[] = []
  for (let count = 0; count < trials; count += 1) {
    const leader = await cluster.settled()
    const term = await nextTerm(log)
    const fromMs = performance.now()
    const heal = await trial(leader)
    times.push((await term.seen) - fromMs)
    term.stop()
    await heal()
  }
  return times.sort((a, b) => a - b)
}

const restart = (name: string) => async () => {
  await cluster.ended(name)
  await cluster.startCoordinator(name)
}

/** What etcd alone takes: one append of a coordinator's size, and the pause when its leader dies. */
async function appendMs(): Promise<number> {
  const times: number[] = []
  for (let count = 0; count < 50; count += 1) {
    const fromMs = performance.now()
    await log.record(`bench-${process.pid}-${count}`, () => 'x'.repeat(500))
    times.push(performance.now() - fromMs)
  }
  return median(times)
}

async function etcdGapMs(): Promise<number> {
  const times: number[] = []
  for (let count = 0; count < 5; count += 1) {
    const member = await cluster.etcd.leader()
    await log.record(`gap-${process.pid}-${count}`, () => 'x')
    const fromMs = performance.now()
    await member.kill()
    for (let retry = 0; ; retry += 1) {
      try {
        await log.record(`gap-${process.pid}-${count}-${retry}`, () => 'x')
        break
      } catch {
        // No leader yet: asked again at once, as a coordinator does.
      }
    }
    times.push(performance.now() - fromMs)
    await member.restart()
    await cluster.settled()
  }
  return median(times)
}

const killed = await measure(async (leader) => {
  cluster.kill(leader)
  return restart(leader)
})
const frozen = await measure(async (leader) => {
  cluster.signal(leader, 'SIGSTOP')
  return async () => cluster.signal(leader, 'SIGCONT')
})
const host = await measure(async (leader) => {
  const member = await cluster.etcd.leader()
  cluster.kill(leader)
  await member.kill()
  return async () => {
    await member.restart()
    await restart(leader)()
  }
})
const oneAppendMs = await appendMs()
const gapMs = await etcdGapMs()
await cluster.settled()
writeFileSync(gate, '')
const { verdict, rerun } = await finished()

async function finished(): Promise<{ verdict: string | undefined; rerun: number }> {
  for (;;) {
    const view = await cluster.client('c1').run(run.run)
    if (view.state === 'finished') return { verdict: view.verdict, rerun: view.rerun }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const row = (what: string, times: readonly number[], baseMs: number, goalMs: number) => [
  what,
  median(times),
  times.at(-1)!,
  baseMs,
  median(times) / baseMs,
  goalMs,
]
process.stdout.write(
  formatTable({
    title: `Failover: from the fault to the first entry of the next leader, ${trials} trials each`,
    columns: ['fault', 'median ms', 'worst ms', 'baseline ms', 'ratio', 'goal ms'],
    rows: [
      row('leader kill -9 (baseline: one append to etcd)', killed, oneAppendMs, 150),
      row('leader SIGSTOP (baseline: the 400 ms of silence)', frozen, 400, 600),
      row('host with etcd leader (baseline: etcd alone)', host, gapMs, 1000),
    ],
    note: `tests interrupted: ${rerun}; the run that went on through all of it: ${verdict}. ${loadWords()}`,
  }),
)
