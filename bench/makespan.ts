/**
 * How close the real placement comes to the best any schedule could do: the core and the scheduler
 * run the recorded durations of real suites on N simulated one-CPU hosts, with estimates that are off
 * by up to a fifth either way, as history's are. Beside it: static sharding by count, as frameworks do; longest-first to
 * whoever would be done with it first, with perfect knowledge (LPT), and planned so by the same estimates; and one file
 * at a time to whoever is free, each with a start-up of its own. Then the mean and the worst of Muster over ten other
 * draws of the errors, and the mean over ten with errors of up to 30 %.
 * Hosts alike first, then of speeds 1, 2 and 4; without start-up cost, then with 0.1 s and one second for every process.
 *
 * The lower bound is that of schedules which may interrupt a file and go on with it elsewhere (Horvath, Lam & Sethi
 * 1977), and of one start-up: all work on all hosts, and for every k the k longest files on the k fastest hosts, since k
 * files can't be on more than k hosts at a time. So no schedule is below it, and perfect LPT, at 1.01 of it at most where
 * no file dominates, shows that one with perfect knowledge hardly is above. What estimates get wrong
 * is another matter: whoever starts one process per host must trust them ('LPT by estimates'), and whoever starts
 * another one to even them out pays for that.
 */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { makespanMs } from '../src/scheduling/fixtures/one-run.ts'
import { formatTable } from './table.ts'

type Recorded = {
  readonly suite: string
  readonly files: readonly { readonly file: string; readonly seconds: number }[]
}

/** Deterministic noise in [-1, 1). */
function noise(index: number): number {
  let x = (index + 1) * 2654435761
  x = Math.imul(x ^ (x >>> 15), 2246822519)
  return ((x >>> 0) / 2 ** 32) * 2 - 1
}

/** Of other draws there are so many. */
const draws = 10

/** What files are taken to need: off by up to so much either way; draw 0 is the one that everything is compared by. */
function estimated(durationsMs: readonly number[], draw: number, off: number): number[] {
  return durationsMs.map((ms, index) => ms * (1 + noise(index + draw * 1_000_003) * off))
}

function simulateDraws(durationsMs: readonly number[], speeds: readonly number[], startupMs: number, off: number) {
  return Array.from({ length: draws }, (_, draw) =>
    makespanMs({ durationsMs, estimatesMs: estimated(durationsMs, draw + 1, off), speeds, startupMs }),
  )
}

function lowerBoundMs(durationsMs: readonly number[], speeds: readonly number[], startupMs: number): number {
  const longest = durationsMs.toSorted((a, b) => b - a)
  const fastest = speeds.toSorted((a, b) => b - a)
  let [workMs, speed, boundMs] = [0, 0, 0]
  for (let k = 0; k < Math.min(longest.length, fastest.length); k += 1) {
    workMs += longest[k]!
    speed += fastest[k]!
    boundMs = Math.max(boundMs, workMs / speed)
  }
  return startupMs + Math.max(boundMs, sumOf(longest) / sumOf(fastest))
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, one) => sum + one, 0)
}

/** File i to shard i mod N; the slowest shard counts. */
function staticShards(durationsMs: readonly number[], speeds: readonly number[], startupMs: number): number {
  const sums = speeds.map(() => 0)
  durationsMs.forEach((ms, index) => (sums[index % speeds.length]! += ms / speeds[index % speeds.length]!))
  return startupMs + Math.max(...sums)
}

/** Planned by what files are taken to need; by default, with perfect knowledge. */
function longestFirst(
  durationsMs: readonly number[],
  speeds: readonly number[],
  startupMs: number,
  plannedMs: readonly number[] = durationsMs,
): number {
  const planned = speeds.map(() => 0)
  const sums = speeds.map(() => 0)
  const order = plannedMs.map((_, index) => index).sort((a, b) => plannedMs[b]! - plannedMs[a]!)
  for (const index of order) {
    const ends = planned.map((sum, host) => sum + plannedMs[index]! / speeds[host]!)
    const first = ends.indexOf(Math.min(...ends))
    planned[first] = ends[first]!
    sums[first]! += durationsMs[index]! / speeds[first]!
  }
  return startupMs + Math.max(...sums)
}

function oneAtATime(durationsMs: readonly number[], speeds: readonly number[], startupMs: number): number {
  const sums = speeds.map(() => 0)
  for (const ms of durationsMs) {
    const free = sums.indexOf(Math.min(...sums))
    sums[free]! += startupMs + ms / speeds[free]!
  }
  return Math.max(...sums)
}

/** 2 000 made-up files, log-normal around 400 ms: where no file dominates even 64 hosts. */
function heavyTailed(count: number): Recorded {
  const files = Array.from({ length: count }, (_, index) => {
    const normal = [0, 1, 2, 3, 4, 5].reduce((sum, part) => sum + noise(index * 7 + part), 0) / Math.SQRT2
    return { file: `f${index}`, seconds: 0.4 * Math.exp(normal * 1.1) }
  })
  return { suite: `made-up ${count}`, files }
}

const folder = path.join(import.meta.dirname, 'durations')
const suites = readdirSync(folder).map((file) => JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as Recorded)
suites.push(heavyTailed(2000))
for (const kinds of [[1], [1, 2, 4]]) for (const startupMs of [0, 100, 1000]) report(kinds, startupMs)

function report(kinds: readonly number[], startupMs: number): void {
  const rows: (string | number)[][] = []
  for (const { suite, files } of suites) {
    const durationsMs = files.map((file) => file.seconds * 1000)
    const totalMs = sumOf(durationsMs)
    const longestMs = Math.max(...durationsMs)
    const estimatesMs = estimated(durationsMs, 0, 0.2)
    for (const hosts of [4, 16, 64]) {
      const speeds = Array.from({ length: hosts }, (_, host) => kinds[host % kinds.length]!)
      const evenMs = totalMs / sumOf(speeds)
      const aloneMs = longestMs / Math.max(...speeds)
      const boundMs = lowerBoundMs(durationsMs, speeds, startupMs)
      const others = simulateDraws(durationsMs, speeds, startupMs, 0.2)
      const worse = simulateDraws(durationsMs, speeds, startupMs, 0.3)
      rows.push([
        suite,
        files.length,
        hosts,
        boundMs / 1000,
        makespanMs({ durationsMs, estimatesMs, speeds, startupMs }) / boundMs,
        sumOf(others) / draws / boundMs,
        Math.max(...others) / boundMs,
        sumOf(worse) / draws / boundMs,
        staticShards(durationsMs, speeds, startupMs) / boundMs,
        longestFirst(durationsMs, speeds, startupMs) / boundMs,
        longestFirst(durationsMs, speeds, startupMs, estimatesMs) / boundMs,
        oneAtATime(durationsMs, speeds, startupMs) / boundMs,
        aloneMs > evenMs ? 'one file dominates' : '',
      ])
    }
  }
  const what = kinds.length === 1 ? 'hosts alike' : `hosts of speeds ${kinds.join(', ')}`
  process.stdout.write(
    `${formatTable({
      title: `Makespan over the lower bound, ${what}, start-up ${startupMs} ms`,
      columns: [
        'suite',
        'files',
        'hosts',
        'bound s',
        'Muster',
        'mean of 10',
        'worst of 10',
        'mean, ±30 %',
        'static shards',
        'perfect LPT',
        'LPT by estimates',
        'one at a time',
        '',
      ],
      rows,
      note: 'Goal for Muster: ≤ 1.05 where no file dominates.',
    })}\n`,
  )
}
