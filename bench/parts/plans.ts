/**
 * Plans of one run, searched for by simulated annealing: for each file the host that is given it at once, or none: then it
 * is left for whoever is done early. A plan is judged by its mean makespan over many durations.
 */
import type { Draws } from './duration-sets.ts'

export type Costs = {
  readonly estimatesMs: readonly number[]
  readonly speeds: readonly number[]
  readonly startupMs: number
}

/** Of each file its host; as many as there are hosts: left for later. */
export type Plan = Int32Array

/** Where the search begins: none, or the shortest files up to this part of all work, are left. */
const leftParts = [0, 0.05, 0.12]
/** By how much worse, as a part of the makespan, a plan may be that is tried at the beginning. */
const heat = 0.003
/** Of the level that what is left is poured to. */
const roundsMax = 12

/** When all is over, if files take this long. */
export function ends(costs: Costs, plan: Plan, durationsMs: Float64Array): number {
  return makespanOf(costs, loadsOf(costs, plan, [durationsMs]), 0)
}

/** The best that is found in so many steps; `mayLeave`: some files may be left for later. */
export function bestPlan(
  costs: Costs,
  durations: readonly Float64Array[],
  random: Draws,
  steps: number,
  mayLeave: boolean,
): Plan {
  const from = longestFirst(costs)
  let best: Found | undefined
  for (const part of mayLeave ? leftParts : [0]) {
    const search = new Search(costs, durations, leave(costs, from, part), mayLeave)
    const found = search.run(random, steps)
    if (best === undefined || found.ms < best.ms) best = found
  }
  return best!.plan
}

type Found = { readonly plan: Plan; readonly ms: number }

class Search {
  readonly #costs: Costs
  readonly #durations: readonly Float64Array[]
  readonly #places: number
  readonly #plan: Plan
  readonly #loads: Float64Array

  constructor(costs: Costs, durations: readonly Float64Array[], from: Plan, mayLeave: boolean) {
    this.#costs = costs
    this.#durations = durations
    this.#places = costs.speeds.length + (mayLeave ? 1 : 0)
    this.#plan = from.slice()
    this.#loads = loadsOf(costs, from, durations)
  }

  run(random: Draws, steps: number): Found {
    let now = this.#meanMs()
    let best: Found = { plan: this.#plan.slice(), ms: now }
    for (let step = 0; step < steps; step += 1) {
      const warmth = best.ms * heat * (1 - step / steps) ** 2
      const one = random.below(this.#plan.length)
      const from = this.#plan[one]!
      // Half of them are exchanged for another.
      const other = random.uniform() < 0.5 ? random.below(this.#plan.length) : undefined
      const to = other === undefined ? random.below(this.#places) : this.#plan[other]!
      if (to === from) continue
      this.#move(one, to)
      if (other !== undefined) this.#move(other, from)
      const ms = this.#meanMs()
      if (ms < now || random.uniform() < Math.exp((now - ms) / warmth)) {
        now = ms
        if (ms < best.ms) best = { plan: this.#plan.slice(), ms }
      } else {
        if (other !== undefined) this.#move(other, to)
        this.#move(one, from)
      }
    }
    return best
  }

  #move(file: number, to: number): void {
    const width = this.#costs.speeds.length + 1
    const from = this.#plan[file]!
    this.#durations.forEach((durationsMs, at) => {
      this.#loads[at * width + from]! -= durationsMs[file]!
      this.#loads[at * width + to]! += durationsMs[file]!
    })
    this.#plan[file] = to
  }

  #meanMs(): number {
    let sum = 0
    for (let at = 0; at < this.#durations.length; at += 1) sum += makespanOf(this.#costs, this.#loads, at)
    return sum / this.#durations.length
  }
}

/** Of each host, and of what is left, for each of the durations. */
function loadsOf({ speeds }: Costs, plan: Plan, durations: readonly Float64Array[]): Float64Array {
  const width = speeds.length + 1
  const loads = new Float64Array(durations.length * width)
  durations.forEach((durationsMs, at) =>
    durationsMs.forEach((ms, file) => {
      loads[at * width + plan[file]!]! += ms
    }),
  )
  return loads
}

/** What is left is poured over the hosts that are done first, each of which starts up once more. */
function makespanOf({ speeds, startupMs }: Costs, loads: Float64Array, at: number): number {
  const width = speeds.length + 1
  const first = at * width
  const leftMs = loads[first + speeds.length]!
  // What is no more than an error of adding up is nothing.
  const endOf = (host: number) => {
    const loadMs = loads[first + host]!
    return loadMs > 1e-6 ? startupMs + loadMs / speeds[host]! : 0
  }
  let lastMs = 0
  for (let host = 0; host < speeds.length; host += 1) lastMs = Math.max(lastMs, endOf(host))
  if (leftMs <= 1e-6) return lastMs
  let levelMs = Infinity
  for (let round = 0; round < roundsMax; round += 1) {
    let [workMs, cpus] = [leftMs, 0]
    for (let host = 0; host < speeds.length; host += 1) {
      const endMs = endOf(host)
      if (endMs >= levelMs) continue
      workMs += endMs * speeds[host]!
      cpus += speeds[host]!
    }
    if (workMs / cpus >= levelMs) break
    levelMs = workMs / cpus
  }
  return Math.max(lastMs, levelMs + startupMs)
}

function longestFirst({ estimatesMs, speeds }: Costs): Plan {
  const plan = new Int32Array(estimatesMs.length)
  const sums = speeds.map(() => 0)
  for (const file of byLength(estimatesMs).reverse()) {
    const ends = sums.map((sum, host) => (sum + estimatesMs[file]!) / speeds[host]!)
    const host = ends.indexOf(Math.min(...ends))
    sums[host]! += estimatesMs[file]!
    plan[file] = host
  }
  return plan
}

function leave({ estimatesMs, speeds }: Costs, from: Plan, part: number): Plan {
  const plan = from.slice()
  let leftMs = part * estimatesMs.reduce((sum, ms) => sum + ms, 0)
  for (const file of byLength(estimatesMs)) {
    leftMs -= estimatesMs[file]!
    if (leftMs < 0) break
    plan[file] = speeds.length
  }
  return plan
}

/** The shortest first. */
function byLength(estimatesMs: readonly number[]): number[] {
  return estimatesMs.map((_, file) => file).sort((a, b) => estimatesMs[a]! - estimatesMs[b]!)
}
