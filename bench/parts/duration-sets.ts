/** Files and hosts for benchmarks of makespans: recorded suites, made-up sets, and what no schedule can be below. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

export type Suite = { readonly suite: string; readonly durationsMs: readonly number[] }

/** Deterministic noise in [-1, 1). */
function noise(index: number): number {
  let x = (index + 1) * 2654435761
  x = Math.imul(x ^ (x >>> 15), 2246822519)
  return ((x >>> 0) / 2 ** 32) * 2 - 1
}

/** Numbers in [0, 1) and normally distributed ones, the same for the same seed. */
export class Draws {
  #seed: number

  constructor(seed: number) {
    this.#seed = seed
  }

  uniform(): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0
    let x = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }

  below(count: number): number {
    return Math.floor(this.uniform() * count)
  }

  oneOf<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }

  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform())
  }
}

/** What files are taken to need: off by up to so much either way. */
export function estimated(durationsMs: readonly number[], draw: number, off: number): number[] {
  return durationsMs.map((ms, index) => ms * (1 + noise(index + draw * 1_000_003) * off))
}

export function recordedSuites(): Suite[] {
  type Recorded = { readonly suite: string; readonly files: readonly { readonly seconds: number }[] }
  const folder = path.join(import.meta.dirname, '..', 'durations')
  return readdirSync(folder).map((file) => {
    const { suite, files } = JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as Recorded
    return { suite, durationsMs: files.map(({ seconds }) => seconds * 1000) }
  })
}

/** Made-up files, log-normal around 400 ms: where, with 2000 of them, no file dominates even 64 hosts. */
export function heavyTailed(count: number): Suite {
  const durationsMs = Array.from({ length: count }, (_, index) => {
    const normal = [0, 1, 2, 3, 4, 5].reduce((sum, part) => sum + noise(index * 7 + part), 0) / Math.SQRT2
    return 400 * Math.exp(normal * 1.1)
  })
  return { suite: `made-up ${count}`, durationsMs }
}

/** Hosts whose speeds are these by turns. */
export function hostsOf(count: number, kinds: readonly number[]): number[] {
  return Array.from({ length: count }, (_, host) => kinds[host % kinds.length]!)
}

/** The longest file alone on the fastest host takes longer than all of them shared evenly. */
export function isDominated(durationsMs: readonly number[], speeds: readonly number[]): boolean {
  return Math.max(...durationsMs) / Math.max(...speeds) > sumOf(durationsMs) / sumOf(speeds)
}

export type Case = {
  readonly durationsMs: readonly number[]
  readonly estimatesMs: readonly number[]
  readonly speeds: readonly number[]
  readonly realSpeeds: readonly number[]
  readonly startupMs: number
}

const wrongs = ['files by 20 %', 'files by 30 %', 'hosts by 7 %', 'files by 20 %, hosts by 7 %'] as const
export type Wrong = (typeof wrongs)[number]

/** Any number of files, hosts and speeds, where no file dominates; start-ups as a part of what each host has to do. */
export function randomCase(draws: Draws, startupPart: number): Case & { readonly wrong: Wrong } {
  const wrong = draws.oneOf(wrongs)
  const speeds = hostsOf(draws.oneOf([2, 4, 8, 16, 64]), draws.oneOf([[1], [1], [1, 2, 4], [1, 1.3]]))
  const spread = draws.oneOf([0.5, 1, 1.5])
  const count = draws.oneOf([30, 100, 300, 1000])
  const durationsMs = Array.from({ length: count }, () => 400 * Math.exp(spread * draws.normal()))
  if (isDominated(durationsMs, speeds)) return randomCase(draws, startupPart)
  const off = wrong.includes('20') ? 0.2 : wrong.includes('30') ? 0.3 : 0
  return {
    durationsMs,
    estimatesMs: durationsMs.map((ms) => ms * (1 + off * (2 * draws.uniform() - 1))),
    speeds,
    realSpeeds: speeds.map((speed) => (wrong.includes('hosts') ? speed * Math.exp(0.07 * draws.normal()) : speed)),
    startupMs: (startupPart * sumOf(durationsMs)) / sumOf(speeds),
    wrong,
  }
}

/**
 * That of schedules which may interrupt a file and go on with it elsewhere (Horvath, Lam & Sethi 1977), and of one
 * start-up: all work on all hosts, and for every k the k longest files on the k fastest hosts, since k files can't be on more
 * than k hosts at a time.
 */
export function lowerBoundMs(durationsMs: readonly number[], speeds: readonly number[], startupMs: number): number {
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

export function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, one) => sum + one, 0)
}

export function meanOf(numbers: readonly number[]): number {
  return sumOf(numbers) / numbers.length
}
