/**
 * How close the real placement comes to the best any schedule could do: the core and the scheduler
 * run the recorded durations of real suites on N simulated one-CPU hosts, with estimates that are off
 * by up to a fifth either way, as history's are. Lower bound: max(work / speed of all, longest file on the
 * fastest). Beside it: static sharding by count, as frameworks do; longest-first to whoever would be done with it
 * first, with perfect knowledge (LPT); and one file at a time to whoever is free, each with a start-up of its own.
 * Hosts alike first, then of speeds 1, 2 and 4; without start-up cost, then with one second for every process.
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

function simulate(durationsMs: readonly number[], speeds: readonly number[], startupMs: number): number {
  const estimatesMs = durationsMs.map((ms, index) => ms * (1 + noise(index) * 0.2))
  return makespanMs({ durationsMs, estimatesMs, speeds, startupMs })
}

/** File i to shard i mod N; the slowest shard counts. */
function staticShards(durationsMs: readonly number[], speeds: readonly number[], startupMs: number): number {
  const sums = speeds.map(() => 0)
  durationsMs.forEach((ms, index) => (sums[index % speeds.length]! += ms / speeds[index % speeds.length]!))
  return startupMs + Math.max(...sums)
}

function longestFirst(durationsMs: readonly number[], speeds: readonly number[], startupMs: number): number {
  const sums = speeds.map(() => 0)
  for (const ms of durationsMs.toSorted((a, b) => b - a)) {
    const ends = sums.map((sum, host) => sum + ms / speeds[host]!)
    const first = ends.indexOf(Math.min(...ends))
    sums[first] = ends[first]!
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
for (const kinds of [[1], [1, 2, 4]]) for (const startupMs of [0, 1000]) report(kinds, startupMs)

function report(kinds: readonly number[], startupMs: number): void {
  const rows: (string | number)[][] = []
  for (const { suite, files } of suites) {
    const durationsMs = files.map((file) => file.seconds * 1000)
    const totalMs = durationsMs.reduce((sum, ms) => sum + ms, 0)
    const longestMs = Math.max(...durationsMs)
    for (const hosts of [4, 16, 64]) {
      const speeds = Array.from({ length: hosts }, (_, host) => kinds[host % kinds.length]!)
      const evenMs = totalMs / speeds.reduce((sum, speed) => sum + speed, 0)
      const aloneMs = longestMs / Math.max(...speeds)
      const boundMs = startupMs + Math.max(evenMs, aloneMs)
      rows.push([
        suite,
        files.length,
        hosts,
        boundMs / 1000,
        simulate(durationsMs, speeds, startupMs) / boundMs,
        staticShards(durationsMs, speeds, startupMs) / boundMs,
        longestFirst(durationsMs, speeds, startupMs) / boundMs,
        oneAtATime(durationsMs, speeds, startupMs) / boundMs,
        aloneMs > evenMs ? 'one file dominates' : '',
      ])
    }
  }
  const what = kinds.length === 1 ? 'hosts alike' : `hosts of speeds ${kinds.join(', ')}`
  process.stdout.write(
    `${formatTable({
      title: `Makespan over the lower bound, ${what}, start-up ${startupMs} ms`,
      columns: ['suite', 'files', 'hosts', 'bound s', 'Muster', 'static shards', 'perfect LPT', 'one at a time', ''],
      rows,
      note: 'Goal for Muster: ≤ 1.05 where no file dominates.',
    })}\n`,
  )
}
