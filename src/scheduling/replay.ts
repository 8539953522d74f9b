/**
 * A recorded queue under another policy or fleet, beside what really happened and beside the same policy played again:
 * the difference between those two is the player's own error, so nobody takes it for the policy's.
 */
import { play, type PlayedRun } from './player.ts'
import { playOf, type FleetChoice, type PlayedPolicy, type RecordedRun, type Recording } from './recording.ts'

export type Outcome = {
  /** From the first submission to the end of the last run. */
  readonly makespanMs: number
  /** From a run's submission to its first batch. */
  readonly waitMeanMs: number
  readonly waitP95Ms: number
  /** Jain's index over projects of how near their runs came to running alone; 1 = all alike. */
  readonly fairness: number
  /** Runs that never ended with these workers. */
  readonly unfinished: number
}

export type ReplayedRun = {
  readonly run: string
  readonly project: string
  readonly files: number
  readonly submittedAtMs: number
  /** From its submission, really and under the policy; null = never. */
  readonly startedMs: readonly [real: number, same: number | null, policy: number | null]
  readonly endedMs: readonly [real: number, same: number | null, policy: number | null]
}

export type Replay = {
  readonly fromMs: number
  readonly toMs: number
  readonly policy: string
  readonly fleet: string
  readonly recordedPolicy: string
  readonly really: Outcome
  /** The recorded policy on the recorded fleet, played. */
  readonly same: Outcome
  readonly replayed: Outcome
  readonly runs: readonly ReplayedRun[]
  readonly leftOut: readonly string[]
}

const workersOf = (count: number) => (count === 1 ? '1 worker' : `${count} workers`)

type Ran = Pick<PlayedRun, 'run' | 'submittedAtMs' | 'startedAtMs' | 'endedAtMs'>

export function replay(recording: Recording, recorded: PlayedPolicy, policy: PlayedPolicy, fleet: FleetChoice): Replay {
  const { fromMs, toMs, runs, leftOut } = recording
  const really: readonly Ran[] = runs.map((run) => ({
    run: run.run,
    submittedAtMs: run.submittedAtMs - fromMs,
    startedAtMs: run.startedAtMs - fromMs,
    endedAtMs: run.endedAtMs - fromMs,
  }))
  const same = play(playOf(recording, recorded, { type: 'same' })).runs
  const played = play(playOf(recording, policy, fleet)).runs
  return {
    fromMs,
    toMs,
    policy: policy.asChosen ?? policy.name,
    fleet: fleet.type === 'same' ? `the same ${workersOf(recording.workers.length)}` : workersOf(fleet.workers),
    recordedPolicy: recorded.asChosen ?? recorded.name,
    really: outcomeOf(runs, really),
    same: outcomeOf(runs, same),
    replayed: outcomeOf(runs, played),
    runs: compareRuns(runs, same, played),
    leftOut,
  }
}

export function outcomeOf(recorded: readonly RecordedRun[], ran: readonly Ran[]): Outcome {
  const byId = new Map(ran.map((run) => [run.run, run]))
  const waits: number[] = []
  const speeds = new Map<string, number[]>()
  let [first, last, unfinished] = [Infinity, 0, 0]
  for (const { run: id, spec, durationsMs, startupMs } of recorded) {
    const run = byId.get(id)
    if (run?.startedAtMs !== undefined) waits.push(Math.max(0, run.startedAtMs - run.submittedAtMs))
    if (run?.endedAtMs === undefined) {
      unfinished += 1
      continue
    }
    first = Math.min(first, run.submittedAtMs)
    last = Math.max(last, run.endedAtMs)
    // Against its longest file, which nothing makes faster: the same yardstick for every policy and fleet.
    const aloneMs = startupMs + durationsMs.reduce((longest, ms) => Math.max(longest, ms), 0)
    const tookMs = Math.max(1, run.endedAtMs - run.submittedAtMs)
    const list = speeds.get(spec.project)
    if (list) list.push(Math.min(1, aloneMs / tookMs))
    else speeds.set(spec.project, [Math.min(1, aloneMs / tookMs)])
  }
  return {
    makespanMs: Math.round(Math.max(0, last - Math.min(first, last))),
    waitMeanMs: Math.round(mean(waits)),
    waitP95Ms: Math.round(nearestRank(waits, 0.95)),
    fairness: Math.round(jain([...speeds.values()].map(mean)) * 1000) / 1000,
    unfinished,
  }
}

/** (Σx)² / (n · Σx²): Jain, Chiu & Hawe 1984. */
export function jain(values: readonly number[]): number {
  const sum = values.reduce((total, value) => total + value, 0)
  const squares = values.reduce((total, value) => total + value * value, 0)
  return squares === 0 ? 1 : (sum * sum) / (values.length * squares)
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length
}

export function nearestRank(values: readonly number[], part: number): number {
  if (values.length === 0) return 0
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)]!
}

function compareRuns(
  recorded: readonly RecordedRun[],
  same: readonly PlayedRun[],
  played: readonly PlayedRun[],
): readonly ReplayedRun[] {
  const sameById = new Map(same.map((run) => [run.run, run]))
  const playedById = new Map(played.map((run) => [run.run, run]))
  const after = (atMs: number | undefined, sinceMs: number | undefined) =>
    atMs === undefined || sinceMs === undefined ? null : Math.round(atMs - sinceMs)
  return recorded.map((run) => {
    const [one, other] = [sameById.get(run.run), playedById.get(run.run)]
    const { submittedAtMs } = run
    return {
      run: run.run,
      project: run.spec.project,
      files: run.files.length,
      submittedAtMs,
      startedMs: [
        run.startedAtMs - submittedAtMs,
        after(one?.startedAtMs, one?.submittedAtMs),
        after(other?.startedAtMs, other?.submittedAtMs),
      ],
      endedMs: [
        run.endedAtMs - submittedAtMs,
        after(one?.endedAtMs, one?.submittedAtMs),
        after(other?.endedAtMs, other?.submittedAtMs),
      ],
    }
  })
}
