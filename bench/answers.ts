/**
 * What `muster why`, `plan` and `replay` cost a coordinator that is full: a run of 100 000 files and 1000 other runs wait, on
 * 100 busy workers; another run of 100 000 files is over. Beside each answer stands how late the coordinator was with
 * everything else meanwhile: the longest that a probe of `/health/live` had to wait, which does nothing itself.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Crowd } from './parts/crowd.ts'
import { loadWords, median } from './parts/programs.ts'
import { BenchSingle } from './parts/single.ts'
import { formatTable } from './table.ts'

const workers = 100
const filesMax = 100_000
const runs = 1000
const repeats = 5
const program = path.join(import.meta.dirname, '..', 'bin', 'muster')

await using single = await BenchSingle.start()
const client = single.client()
const urls = [single.url]
const token = single.workerToken
const files = (count: number) => Array.from({ length: count }, (_, at) => `src/folder-${at % 97}/file-${at}.test.ts`)
const headers = { authorization: `Bearer ${single.token}` }

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await holds()); tries += 1) {
    if (tries > 1200) throw new Error(`waited too long for ${what}`)
    await delay(100)
  }
}

let over = ''
{
  await using crowd = new Crowd({ urls, token, count: workers, durationMs: 100 })
  await crowd.connect()
  over = (await client.submit({ framework: 'none', files: files(filesMax), cpus: 1, retries: 1 }, 'over')).run
  await until('the first run', async () => (await client.run(over)).state === 'finished')
}
await using crowd = new Crowd({ urls, token, count: workers, keeps: true })
await crowd.connect()
const waiting = { framework: 'none', noWorkerTimeoutMs: 3_600_000, cpus: 1 } as const
const needs = [
  [],
  [{ locks: [{ name: 'db', mode: 'exclusive' as const }] }],
  [{ memoryBytes: 2 ** 40 }],
  [{ cpus: 1, where: 'gpu.memory >= 24GiB' }],
] as const
const large = (await client.submit({ ...waiting, files: files(filesMax) }, 'large')).run
const small: string[] = []
for (let at = 0; at < runs; at += 1) {
  const asked = needs[at % needs.length]!
  const more = asked.length === 0 ? {} : { needs: asked }
  const body = { ...waiting, ...more, project: `p${at % 20}`, priority: at % 5, files: files(10) }
  small.push((await client.submit(body as Parameters<typeof client.submit>[0], `small-${at}`)).run)
}
// History takes in what was written.
await delay(3000)

/** Asks again and again until told to stop; answers how long the slowest took. */
function probe(): () => Promise<number> {
  let [going, worstMs] = [true, 0]
  const done = (async () => {
    while (going) {
      const sinceMs = performance.now()
      await (await fetch(`${single.url}/health/live`)).text()
      worstMs = Math.max(worstMs, performance.now() - sinceMs)
      await delay(2)
    }
    return worstMs
  })()
  return () => {
    going = false
    return done
  }
}

type Asked = { readonly tookMs: number; readonly lateMs: number; readonly bytes: number }

async function timed(work: () => Promise<number>): Promise<Asked> {
  const end = probe()
  const sinceMs = performance.now()
  const bytes = await work()
  const tookMs = performance.now() - sinceMs
  return { tookMs, lateMs: await end(), bytes }
}

async function get(where: string): Promise<number> {
  const response = await fetch(`${single.url}/api/v1${where}`, { headers })
  const text = await response.text()
  if (!response.ok) throw new Error(`${where}: ${text}`)
  return text.length
}

async function muster(...args: string[]): Promise<number> {
  const child = spawn(program, [...args, '--server', single.url, '--json'], {
    env: { ...process.env, MUSTER_TOKEN: single.token },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let bytes = 0
  child.stdout.on('data', (chunk: Buffer) => (bytes += chunk.length))
  const [code] = (await once(child, 'close')) as [number]
  if (code !== 0) throw new Error(`muster ${args.join(' ')} ended with ${code}`)
  return bytes
}

const last = small.length - 1
const questions: readonly (readonly [string, () => Promise<number>])[] = [
  ['nothing', () => delay(300).then(() => 0)],
  ['why RUN, of 100 000 files', () => get(`/runs/${large}/why`)],
  ['why RUN/99999, of these', () => get(`/runs/${large}/tasks/${filesMax - 1}/why`)],
  ['why RUN FILE, the last', () => get(`/runs/${large}/why?file=${encodeURIComponent(files(filesMax).at(-1)!)}`)],
  ['why RUN, over, 100 000 files', () => get(`/runs/${over}/why`)],
  ['why RUN/99999, over', () => get(`/runs/${over}/tasks/${filesMax - 1}/why`)],
  ['why RUN, the last of 1000', () => get(`/runs/${small[last - 3]!}/why`)],
  ['why RUN, waits for a lock', () => get(`/runs/${small[last - 2]!}/why`)],
  ['why RUN, nobody fits', () => get(`/runs/${small[last - 1]!}/why`)],
  ['why RUN, no such GPU', () => get(`/runs/${small[last]!}/why`)],
  ['recording of one run, 100 000 files', () => get(`/recording?run=${over}&only=true`)],
  ['recording since a day', () => get(`/recording?sinceMs=${Date.now() - 86_400_000}`)],
  ['muster why RUN', () => muster('why', large)],
  ['muster plan --run, 3 fleets', () => muster('plan', '--run', over, '--workers', '20,50,100')],
  ['muster replay --since 1d', () => muster('replay', '--since', '1d', '--policy', 'fifo')],
]
const rows: (string | number)[][] = []
for (const [what, ask] of questions) {
  const asked: Asked[] = []
  for (let at = 0; at < (what.startsWith('muster') ? 2 : repeats); at += 1) asked.push(await timed(ask))
  const of = (pick: (one: Asked) => number) => asked.map(pick)
  rows.push([
    what,
    Math.round(median(of((one) => one.tookMs))),
    Math.round(Math.max(...of((one) => one.tookMs))),
    Math.round(median(of((one) => one.lateMs))),
    Math.round(Math.max(...of((one) => one.lateMs))),
    Math.round(asked[0]!.bytes / 1024),
  ])
}
process.stdout.write(
  formatTable({
    title: `Answers of a coordinator with ${filesMax} waiting files and ${runs} waiting runs, ${workers} workers`,
    columns: ['asked', 'ms', 'most ms', 'others late ms', 'most ms', 'KiB'],
    rows,
    note: loadWords(),
  }),
)
