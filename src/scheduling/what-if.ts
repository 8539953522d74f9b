/**
 * How long work would take on fleets of several sizes: played several times, as estimated and with estimates that are off
 * by as much as they may be, for a range instead of one number. Made-up workers have whatever tasks ask for beside CPUs;
 * locks and batch sizes stay as they are.
 */
import type { Need, RunSpec } from '../core/entities.ts'
import type { Input, Submit } from '../core/input.ts'
import { joinOf, machine } from './made-up.ts'
import { play, type Policy } from './player.ts'

export type Work = {
  readonly spec: RunSpec
  readonly files: readonly string[]
  /** Of the reference machine; null = nothing is known. */
  readonly estimatesMs: readonly (number | null)[]
  /** Which of them are the file's own, measured; default: all that there are. */
  readonly measured?: readonly boolean[]
  readonly kinds?: readonly number[]
  readonly dependencies?: Submit['dependencies']
  readonly startupMs: number
}

export type FleetShape = {
  /** Of each worker. */
  readonly cpus: number
  /** Of the workers in turn; 1 = the reference machine. */
  readonly speeds: readonly number[]
}

export type FleetPlan = {
  readonly workers: number
  /** Those that the run has a use for: of each worker at most as many as it asks for. */
  readonly cpus: number
  /** As estimated, and from best to worst of what estimates may be off by. */
  readonly expectedMs: number
  readonly fromMs: number
  readonly toMs: number
  /** No schedule is shorter: all work over all CPUs, or the longest file. */
  readonly lowerBoundMs: number
  /** Time in tests over time of these CPUs until the end, 0 to 1. */
  readonly efficiency: number
  readonly batches: number
}

export type WhatIf = {
  readonly files: number
  /** Share of files that were measured before. */
  readonly knownRatio: number
  readonly workMs: number
  readonly fleets: readonly FleetPlan[]
  /** More workers than this cannot help: the longest file (or what may not run at the same time) decides. */
  readonly workersMax: number
  readonly longest: { readonly file: string; readonly ms: number }
}

const plays = [0, -1, -0.5, 0.5, 1]
const onePlay = [0]
/** Beyond so many files what single ones are off by evens out: one play says enough, and the range is worked out from it. */
const manyFiles = 20_000
/** Nor does it matter then whether each file is reported at its very moment. */
const reportsMax = 16
const [offKnown, offUnknown] = [0.2, 0.6]
const unknownMs = 500

export function whatIf(work: Work, sizes: readonly number[], shape: FleetShape, strategy: Policy): WhatIf {
  const known = work.estimatesMs.filter((ms): ms is number => ms !== null).sort((a, b) => a - b)
  const usualMs = known.length > 0 ? known[known.length >> 1]! : unknownMs
  const meansMs = work.estimatesMs.map((ms) => ms ?? usualMs)
  const workMs = meansMs.reduce((sum, ms) => sum + ms, 0)
  const longestAt = meansMs.reduce((best, ms, at) => (ms > meansMs[best]! ? at : best), 0)
  const longestMs = meansMs[longestAt] ?? 0
  const fleets = sizes.map((workers) => planFleet(work, meansMs, workers, shape, strategy))
  const usualSpeed = shape.speeds.reduce((sum, speed) => sum + speed, 0) / shape.speeds.length
  const fastest = Math.max(...shape.speeds)
  const perWorker = usedCpus(work.spec, shape.cpus) * usualSpeed
  const workersMax = longestMs === 0 ? 1 : Math.max(1, Math.ceil(workMs / perWorker / (longestMs / fastest)))
  return {
    files: work.files.length,
    knownRatio:
      work.files.length === 0 ? 0 : work.files.filter((_, at) => isMeasured(work, at)).length / work.files.length,
    workMs: Math.round(workMs),
    fleets,
    workersMax,
    longest: { file: work.files[longestAt] ?? '', ms: Math.round(longestMs) },
  }
}

function planFleet(
  work: Work,
  meansMs: readonly number[],
  workers: number,
  shape: FleetShape,
  strategy: Policy,
): FleetPlan {
  const speeds = Array.from({ length: workers }, (_, at) => shape.speeds[at % shape.speeds.length]!)
  const joins = speeds.map((speed, at) =>
    joinOf(`w${at}`, `w${at}`, machine(`host-${at}`, { cpus: shape.cpus, speed })),
  )
  const submit = submitOf(work, shape.cpus)
  const inputs = [...joins, submit].map((input) => ({ atMs: 0, input }))
  const leans = work.files.length > manyFiles ? onePlay : plays
  const durations = leans.map((lean) => leaning(work, meansMs, lean))
  const played = durations.map((durationsMs) =>
    play({
      strategy,
      inputs,
      ...(work.files.length > manyFiles ? { reportsMax } : {}),
      taskMs: (_run, task, worker) => durationsMs[task]! / (worker.capabilities.speed ?? 1),
      startupMs: (_run, worker) => work.startupMs / (worker.capabilities.speed ?? 1),
    }),
  )
  const expectedMs = played[0]!.endMs
  const workMs = meansMs.reduce((sum, ms) => sum + ms, 0)
  const ends = leans === onePlay ? leaningEnds(work, meansMs, workMs, expectedMs) : played.map((one) => one.endMs)
  const used = usedCpus(work.spec, shape.cpus)
  const power = speeds.reduce((sum, speed) => sum + speed * used, 0)
  const fastest = Math.max(...speeds)
  const longestMs = meansMs.reduce((most, ms) => Math.max(most, ms), 0)
  const boundMs = work.startupMs / fastest + Math.max(workMs / power, longestMs / fastest)
  return {
    workers,
    cpus: workers * used,
    expectedMs: Math.round(expectedMs),
    fromMs: Math.round(Math.min(...ends)),
    toMs: Math.round(Math.max(...ends)),
    lowerBoundMs: Math.round(boundMs),
    efficiency: expectedMs === 0 ? 1 : Math.round((workMs / (power * expectedMs)) * 1000) / 1000,
    batches: played[0]!.batches.length,
  }
}

/** What needs say of CPUs is of one process of several; without that, one process has the host for itself. */
function usedCpus({ cpus = Infinity, needs = [] }: RunSpec, all: number): number {
  return needs.some((need) => need.cpus !== undefined) ? all : Math.min(cpus, all)
}

function isMeasured({ estimatesMs, measured }: Work, at: number): boolean {
  return measured?.[at] ?? estimatesMs[at] !== null
}

/** When all files lean one way as far as they may. */
function leaningEnds(work: Work, meansMs: readonly number[], workMs: number, endMs: number): readonly number[] {
  const offMs = meansMs.reduce((sum, ms, at) => sum + ms * (isMeasured(work, at) ? offKnown : offUnknown), 0)
  const off = workMs === 0 ? 0 : (0.5 * offMs) / workMs
  return [endMs * (1 - off), endMs * (1 + off)]
}

/** Every file is off by something of its own, and all of them lean one way. */
function leaning(work: Work, meansMs: readonly number[], lean: number): readonly number[] {
  if (lean === 0) return meansMs
  return meansMs.map((ms, at) => {
    const off = isMeasured(work, at) ? offKnown : offUnknown
    return ms * Math.max(0.05, 1 + off * (0.5 * lean + 0.5 * noise(at * 4 + lean)))
  })
}

/** The same for the same number, -1 to 1. */
function noise(seed: number): number {
  let x = Math.imul(Math.round((seed + 1) * 2) >>> 0, 2654435761)
  x = Math.imul(x ^ (x >>> 15), 2246822519)
  return (((x ^ (x >>> 13)) >>> 0) / 2 ** 32) * 2 - 1
}

function submitOf({ spec, files, estimatesMs, kinds, dependencies, startupMs }: Work, cpus: number): Input {
  const { after: _, needs, deadlineAtMs: __, workersMax: ___, ...rest } = spec
  const own: RunSpec = {
    ...rest,
    labels: {},
    workspace: { type: 'none' },
    open: false,
    startupMs,
    ...(needs === undefined ? {} : { needs: needs.map((need) => anywhere(need, cpus)) }),
  }
  const about = { ...(kinds === undefined ? {} : { kinds }), ...(dependencies === undefined ? {} : { dependencies }) }
  return { type: 'submit', run: 'plan', who: 'client:plan', spec: own, files, estimates: estimatesMs, ...about }
}

/** Without what a made-up worker is taken to have. */
function anywhere(need: Need, cpusMax: number): Need {
  const { cpus, memoryBytes: _, gpus: __, resources: ___, where: ____, ...rest } = need
  return { ...rest, ...(cpus === undefined ? {} : { cpus: Math.min(cpus, cpusMax) }) }
}
