/**
 * How well durations are predicted. The recorded durations of real suites are run again and again on a
 * made-up fleet: machines of speed 1, 2 and 4, other files beside them, noise, outliers, files that
 * change for good, new files and, in one column of suites, files that take longer after a failure.
 * Then the models compete on the newest quarter as they do in the history process. Beside them stand
 * what anybody would do at first, the mean and the last value of what was measured, and the best that
 * could be done with this noise: somebody who knows each file's true length and the machine.
 * Last, what training, a prediction and the question of 10 000 files to DuckDB cost.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { compete, figuresOf } from '../src/analysis/competition.ts'
import type { Sample } from '../src/analysis/competition.ts'
import { loadDuckdb } from '../src/history/duckdb.ts'
import { HistoryStore } from '../src/history/store.ts'
import { formatTable } from './table.ts'

type Recorded = {
  readonly suite: string
  readonly files: readonly { readonly file: string; readonly seconds: number }[]
}

type Made = { readonly samples: Sample[]; readonly trueMs: number[] }

const runs = 40
const hourMs = 3_600_000

/** Deterministic, uniform in [0, 1). */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** `afterFailure`: how many times as long a file takes when it failed in the run before. */
function history({ files }: Recorded, afterFailure: number): Made {
  const uniform = random(files.length)
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
  const lengthMs = files.map((one) => Math.max(1, one.seconds * 1000))
  const firstRun = files.map(() => (uniform() < 0.1 ? Math.floor(uniform() * runs) : 0))
  const failed = files.map(() => false)
  const samples: Sample[] = []
  const trueMs: number[] = []
  for (let run = 0; run < runs; run += 1) {
    for (const [index, { file }] of files.entries()) {
      if (run < firstRun[index]!) continue
      if (uniform() < 0.01) lengthMs[index]! *= Math.exp(normal() * 0.7)
      const speed = [1, 1, 2, 4][Math.floor(uniform() * 4)]!
      const load = uniform() * 2
      const outlier = uniform() < 0.02 ? 3 + 5 * uniform() : 1
      const knownMs = (lengthMs[index]! * (failed[index] ? afterFailure : 1)) / speed
      failed[index] = uniform() < 0.15
      samples.push({
        suite: 'unit',
        file,
        askedAtMs: run * hourMs,
        bytes: null,
        observation: {
          atMs: run * hourMs + 60_000,
          durationMs: knownMs * (1 + load) ** 0.4 * Math.exp(0.15 * normal()) * outlier,
          speed,
          load,
          cpus: 2,
          ending: failed[index] ? 'failed' : 'passed',
        },
      })
      trueMs.push(knownMs * 2 ** 0.4)
    }
  }
  return { samples, trueMs }
}

/** 2 000 made-up files in 40 folders, log-normal around 400 ms. */
function heavyTailed(count: number): Recorded {
  const uniform = random(1)
  const files = Array.from({ length: count }, (_, index) => ({
    file: `src/d${index % 40}/f${index}.test.ts`,
    seconds: 0.4 * Math.exp(1.1 * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())),
  }))
  return { suite: `made-up ${count}`, files }
}

/** Time of the processor, of all threads: other programs on this machine have no part in it. */
function cpuMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1000
}

const percent = (ratio: number | undefined) => (ratio === undefined ? '' : Math.round(ratio * 1000) / 10)

function errors(suites: readonly Recorded[], afterFailure: number): void {
  const rows = suites.map((recorded) => {
    const { samples, trueMs } = history(recorded, afterFailure)
    const since = process.cpuUsage()
    const { figures, heldOut, used } = compete(samples)
    const tookMs = cpuMs(since)
    const from = samples.length - heldOut
    const best = figuresOf(
      trueMs.slice(from),
      samples.slice(from).map((one) => one.observation.durationMs),
    )
    return [
      recorded.suite,
      heldOut,
      percent(figures.mean?.wape),
      percent(figures.last?.wape),
      percent(figures.simple?.wape),
      percent(figures.learned?.wape),
      percent(best?.wape),
      (figures.simple?.wape ?? 0) / (figures.mean?.wape ?? 1),
      percent(figures[used]?.bias),
      used,
      tookMs,
    ]
  })
  const columns = [
    'suite',
    'held out',
    'mean',
    'last',
    'simple',
    'learned',
    'best',
    'simple ÷ mean',
    'bias',
    'used',
    'CPU ms',
  ]
  process.stdout.write(
    `${formatTable({
      title: `WAPE in %, ${runs} runs${afterFailure === 1 ? '' : `; after a failure a file takes ${afterFailure} times as long`}`,
      columns,
      rows,
      note: 'best: each file’s true length and the machine known, not the load, noise and outliers. CPU ms: replay, two trainings, figures.',
    })}\n`,
  )
}

/** 10 000 files × 30 runs of them in the tables; then as a submission asks. */
async function question(): Promise<void> {
  const directory = await mkdtemp(path.join(tmpdir(), 'muster-bench-predict-'))
  try {
    const options = {
      directory: path.join(directory, 'history'),
      blobsLocation: path.join(directory, 'blobs'),
      source: 'log',
      memoryLimitMb: 256,
      testsDays: 90,
      runsDays: 365,
    }
    const store = await HistoryStore.open(await loadDuckdb(), options, (text) => console.error(text))
    const fileOf = (index: number) => `src/d${index % 200}/file-${index}.test.ts`
    await store.query(
      `INSERT INTO runs SELECT 'r' || r, 'shop', 'unit', 'vitest', '4', 'x', r * 1000000 FROM range(30) t(r)`,
    )
    await store.query(
      `INSERT INTO attempts BY NAME SELECT 'r' || r AS run, f AS task, 1 AS attempt, 'shop' AS project, 'unit' AS suite,
         'src/d' || (f % 200) || '/file-' || f || '.test.ts' AS file, 'b' AS batch, 'w' AS worker, 2 AS cpus, 'passed' AS outcome,
         r * 1000000 AS started_ms, 50 + (hash(f) % 1000) * (0.8 + (hash(f * 31 + r) % 400) / 1000) AS duration_ms,
         r * 1000000 + 1000 + f AS at_ms, 1 + (r % 2) AS speed, (f + r) % 4 AS beside, 4 AS host_cpus
       FROM range(10000) t(f), range(30) u(r)`,
    )
    const files = Array.from({ length: 10_000 }, (_, index) => fileOf(index))
    const ask = { project: 'shop', suite: 'unit', files }
    const timed = async <T>(work: () => Promise<T> | T, times = 5): Promise<number> => {
      const took: number[] = []
      for (let time = 0; time < times; time += 1) {
        const since = process.cpuUsage()
        await work()
        took.push(cpuMs(since))
      }
      return Math.min(...took)
    }
    const naiveMs = await timed(() =>
      store.query(
        `SELECT file, avg(duration_ms) FROM attempts WHERE project = 'shop' AND suite = 'unit' GROUP BY file`,
      ),
    )
    const firstMs = await timed(() => store.durations.load(ask))
    const simpleMs = await timed(() => store.durations.estimates(ask))
    const compete = async () => store.keepModel((await store.models.compete('shop', () => true))!)
    const competeMs = await timed(compete, 1)
    const againMs = await timed(() => store.durations.estimates(ask))
    const kept = store.models.keptOf('shop')
    const modelBytes = zstdCompressSync(JSON.stringify(kept?.model ?? null)).length
    store.close()
    process.stdout.write(
      `${formatTable({
        title: '10 000 files, 300 000 recorded durations in DuckDB',
        columns: ['what', 'CPU ms'],
        rows: [
          ['baseline: mean per file by SQL', naiveMs],
          ['first question: read and estimate', firstMs + simpleMs],
          ['each further question', simpleMs],
          [`competition of ${kept?.samples ?? 0} durations: read, train twice, keep (${kept?.used})`, competeMs],
          [`a question after it (model ${modelBytes} bytes)`, againMs],
        ],
        note: 'Best of five, but for the competition. Goal for a question: well under a second.',
      })}\n`,
    )
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

const folder = path.join(import.meta.dirname, 'durations')
const suites: Recorded[] = []
for (const file of (await readdir(folder)).sort())
  suites.push(JSON.parse(await readFile(path.join(folder, file), 'utf8')) as Recorded)
suites.push(heavyTailed(2000))
errors(suites, 1)
errors(suites, 3)
await question()
