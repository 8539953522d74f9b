/**
 * A recorded queue as data: what was submitted when, how each attempt of a task went and what it took, what was done with
 * runs meanwhile, which workers were there from when to when, and how it went. From it the player makes the same work
 * happen again, under any strategy and on any fleet.
 *
 * Durations are of the reference machine: measured time × the worker's speed. A task that was never measured (cancelled,
 * lost for good) takes what was expected of it. An attempt that was lost with its worker isn't played as such: its worker
 * leaves again. What somebody did from outside (cancelling, pausing) happens again at its time; what follows from a rule
 * (stopping after too many failures) follows again.
 */
import type { Capabilities, RunId, RunSpec, WorkerId } from '../core/entities.ts'
import type { Input, Submit } from '../core/input.ts'
import { joinOf } from './made-up.ts'
import type { ShareRule } from '../core/shares.ts'
import type { Attempted } from './played-batch.ts'
import type { Play, Policy } from './player.ts'
import { speedOf } from './fleet.ts'

export type RecordedRun = {
  readonly run: RunId
  readonly who: string
  /** Without what only its workers need. */
  readonly spec: RunSpec
  readonly submittedAtMs: number
  readonly startedAtMs: number
  readonly endedAtMs: number
  readonly files: readonly string[]
  /** What was expected of each; null = nothing was known. */
  readonly estimatesMs: readonly (number | null)[]
  /** Index into the spec's needs, per file. */
  readonly kinds: readonly number[]
  /** What each took, on the reference machine; 0 for those that never came to an end. */
  readonly durationsMs: readonly number[]
  /** Those that never came to an end of their own, and what they are taken to take. */
  readonly unmeasured?: readonly (readonly [task: number, ms: number])[]
  readonly startupMs: number
  /** Of files where one pass wasn't all: each attempt in turn. */
  readonly tries?: readonly RecordedTry[]
  /** Files from the first on that were there when it was submitted; absent = all. The others came later. */
  readonly extended?: readonly { readonly atMs: number; readonly files: number }[]
  /** When it was said that no more files come. */
  readonly sealedAtMs?: number
  readonly pauses?: readonly { readonly fromMs: number; readonly toMs?: number }[]
  /** By somebody, and not by a rule. */
  readonly cancels?: readonly { readonly atMs: number; readonly drain: boolean }[]
  /** Those that it was given later; the spec has the first. */
  readonly priorities?: readonly { readonly atMs: number; readonly priority: number }[]
  /** Which files came after which. */
  readonly dependencies?: Submit['dependencies']
}

/** Time of each attempt on the reference machine, and how many tests failed in it. */
export type RecordedTry = {
  readonly task: number
  readonly attempts: readonly (readonly [outcome: Attempted['outcome'], ms: number, failedTests?: number])[]
}

/** Which scheduler was chosen; absent = the default, for all projects without one of their own. */
export type RecordedChoice = {
  readonly atMs: number
  readonly project?: string
  readonly strategy?: string
  readonly config?: Readonly<Record<string, unknown>>
}

export type RecordedWorker = {
  readonly worker: WorkerId
  readonly name: string
  readonly capabilities: Capabilities
  readonly joinedAtMs: number
  /** Absent = it was there to the end. */
  readonly leftAtMs?: number
}

export type Recording = {
  readonly fromMs: number
  readonly toMs: number
  /** Of the scheduler that is chosen now. */
  readonly strategy: string
  /** What was chosen when, in that order, from before the first run on; absent = nobody knows. */
  readonly schedulers?: readonly RecordedChoice[]
  /** In the order in which they were submitted. */
  readonly runs: readonly RecordedRun[]
  readonly workers: readonly RecordedWorker[]
  /** Weights and quotas as they are configured now. */
  readonly shares?: readonly (readonly [scope: string, rule: ShareRule])[]
  /** What of the time is not in it, for people. */
  readonly leftOut: readonly string[]
}

/** So many made-up workers instead of those that were there, or those. */
export type FleetChoice = { readonly type: 'same' } | { readonly type: 'made-up'; readonly workers: number }

/** `asChosen`: it follows what is chosen, so changes of scheduler are played to it, too; how people call that. */
export type PlayedPolicy = Policy & { readonly asChosen?: string }

/** Beyond so many files, not each is reported at its very moment. */
const manyFiles = 20_000
const reportsMax = 64

/** Times are of the recording, less its start. */
export function playOf(recording: Recording, strategy: PlayedPolicy, fleet: FleetChoice): Play {
  const { runs, fromMs, shares } = recording
  const known = new Set(runs.map((run) => run.run))
  const byId = new Map(runs.map((run) => [run.run, run]))
  const expected = new Map(runs.map((run) => [run.run, new Map(run.unmeasured)]))
  const tries = new Map(runs.map((run) => [run.run, new Map(run.tries?.map((one) => [one.task, one.attempts]))]))
  const files = runs.reduce((sum, run) => sum + run.files.length, 0)
  const ofRuns = runs.flatMap((run) => inputsOf(run, known, fleet.type === 'same', fromMs))
  return {
    strategy,
    inputs: [
      ...(strategy.asChosen === undefined ? [] : choicesOf(recording)),
      ...(fleet.type === 'same' ? sameFleet(recording) : madeUpFleet(recording, fleet.workers)),
      ...ofRuns,
    ],
    taskMs: (run, task, worker) =>
      (expected.get(run)!.get(task) ?? byId.get(run)!.durationsMs[task]!) / speedOf(worker),
    attempt: (run, task, worker, before) => {
      const attempts = tries.get(run)!.get(task)
      // Whoever tries more often than was tried meets the last outcome again.
      const [outcome, ms, failedTests] = attempts?.[Math.min(before, attempts.length - 1)] ?? []
      if (outcome === undefined) return undefined
      return { outcome, durationMs: ms! / speedOf(worker), ...(failedTests === undefined ? {} : { failedTests }) }
    },
    startupMs: (run, worker) => byId.get(run)!.startupMs / speedOf(worker),
    ...(shares === undefined ? {} : { shares: new Map(shares) }),
    ...(files > manyFiles ? { reportsMax } : {}),
  }
}

/** Everything that was done with a run, at its time. */
function inputsOf(recorded: RecordedRun, known: ReadonlySet<RunId>, inPlace: boolean, fromMs: number): Timed[] {
  const { run, who, extended = [], sealedAtMs, pauses = [], priorities = [], cancels = [] } = recorded
  const at = (atMs: number, input: Input): Timed => ({ atMs: Math.max(0, atMs - fromMs), input })
  const inputs = [at(recorded.submittedAtMs, submitOf(recorded, known, inPlace, fromMs))]
  let first = recorded.files.length - extended.reduce((sum, one) => sum + one.files, 0)
  for (const { atMs, files: count } of extended) {
    const part = <Item>(list: readonly Item[]) => list.slice(first, first + count)
    const [files, estimates, kinds] = [part(recorded.files), part(recorded.estimatesMs), part(recorded.kinds)]
    inputs.push(at(atMs, { type: 'extend', run, who, files, estimates, kinds }))
    first += count
  }
  if (extended.length > 0) inputs.push(at(sealedAtMs ?? extended.at(-1)!.atMs, { type: 'seal', run, who }))
  for (const { fromMs: pausedMs, toMs } of pauses) {
    inputs.push(at(pausedMs, { type: 'pause', run, who, why: 'as it was' }))
    if (toMs !== undefined) inputs.push(at(toMs, { type: 'resume', run, who }))
  }
  for (const { atMs, priority } of priorities) inputs.push(at(atMs, { type: 'prioritise', run, who, priority }))
  for (const { atMs, drain } of cancels) inputs.push(at(atMs, { type: 'cancel', run, who, why: 'as it was', drain }))
  return inputs
}

function submitOf(run: RecordedRun, known: ReadonlySet<RunId>, inPlace: boolean, fromMs: number): Input {
  const { after, deadlineAtMs, ...rest } = run.spec
  const { extended = [], dependencies } = run
  const spec: RunSpec = {
    ...rest,
    open: extended.length > 0,
    startupMs: run.startupMs,
    ...(deadlineAtMs === undefined ? {} : { deadlineAtMs: deadlineAtMs - fromMs }),
    // Those before it that are not in the recording were over, or nobody knows.
    ...(after === undefined
      ? {}
      : { after: after.filter((one) => known.has(one.run)).map((one) => ({ ...one, when: 'finished' as const })) }),
    // Made-up workers are on hosts of their own.
    ...(inPlace ? {} : { workspace: { type: 'none' as const } }),
  }
  const count = run.files.length - extended.reduce((sum, one) => sum + one.files, 0)
  const first = <Item>(list: readonly Item[]) => (count === list.length ? list : list.slice(0, count))
  const { run: id, who } = run
  const about = { files: first(run.files), estimates: first(run.estimatesMs), kinds: first(run.kinds) }
  return { type: 'submit', run: id, who, spec, ...about, ...(dependencies === undefined ? {} : { dependencies }) }
}

type Timed = { readonly atMs: number; readonly input: Input }

function choicesOf({ schedulers = [], fromMs }: Recording): readonly Timed[] {
  return schedulers.map(({ atMs, ...choice }) => ({
    atMs: Math.max(0, atMs - fromMs),
    input: { type: 'choose-scheduler', who: 'player', ...choice },
  }))
}

function sameFleet({ workers, fromMs }: Recording): readonly Timed[] {
  return workers.flatMap(({ worker, name, capabilities, joinedAtMs, leftAtMs }) => [
    { atMs: Math.max(0, joinedAtMs - fromMs), input: joinOf(worker, name, capabilities) },
    ...(leftAtMs === undefined
      ? []
      : [{ atMs: Math.max(0, leftAtMs - fromMs), input: { type: 'leave' as const, worker, why: 'as it was' } }]),
  ])
}

/** Like those that were there, in turn, each on a host of its own, from the start. */
function madeUpFleet({ workers }: Recording, count: number): readonly Timed[] {
  if (workers.length === 0) return []
  return Array.from({ length: count }, (_, at) => {
    const { capabilities } = workers[at % workers.length]!
    return { atMs: 0, input: joinOf(`w${at}`, `w${at}`, { ...capabilities, host: `host-${at}` }) }
  })
}
