/**
 * Whether a task whose attempt did not count is tried again, and how: the run's retry policy decides
 * how often, after which wait and how far away; recovery.ts decides at which level. What the policy
 * doesn't say is as it was before there were policies: `retries` for what failed or ran out of time (one budget
 * for both), the coordinator's limit for what was lost or could not be started (one for both).
 *
 * Jitter comes from a hash of token and task in sixteen steps: the same on every coordinator, and a
 * thousand tasks put back at once are at most sixteen events.
 */
import type { Avoid, RecoveryLevel, RetryCause, RetryRule, RetryWhere } from './entities.ts'
import type { Event } from './events.ts'
import { anotherFits, avoidMore } from './fit.ts'
import { chooseLevel } from './recovery.ts'
import type { Batch, Run, State, Task } from './state.ts'
import type { TaskDecisions } from './task.ts'

const jitterSteps = 16
const defaultJitter = 0.2
const defaultFactor = 2
const defaultMaxMs = 60_000

export function ruleOf(state: State, run: Run, cause: RetryCause): RetryRule {
  const said = run.spec.retry?.[cause]
  const { retries } = run.spec
  const max = cause === 'lost' || cause === 'infrastructure' ? state.limits.lostRetriesMax : retries
  return {
    max: said?.max ?? max,
    backoffMs: said?.backoffMs ?? 0,
    backoffFactor: said?.backoffFactor ?? defaultFactor,
    backoffMaxMs: Math.max(said?.backoffMs ?? 0, said?.backoffMaxMs ?? defaultMaxMs),
    jitter: said?.jitter ?? defaultJitter,
    where: said?.where ?? 'any',
  }
}

/** Attempts of the task that count against the cause's `max`. */
export function triesOf(run: Run, task: Task, cause: RetryCause): number {
  const own = run.spec.retry?.[cause]?.max !== undefined
  const timeOuts = task.again?.timeOuts ?? 0
  const failedStarts = task.again?.failedStarts ?? 0
  switch (cause) {
    case 'failed':
      return own ? task.failures - timeOuts : task.failures
    case 'timed-out':
      return own ? timeOuts : task.failures
    case 'lost':
      return own ? task.losses - failedStarts : task.losses
    case 'infrastructure':
      return own ? failedStarts : task.losses
    case 'crashed':
      return task.crashes
  }
}

export function mayRetry(state: State, run: Run, task: Task, cause: RetryCause): boolean {
  return triesOf(run, task, cause) < ruleOf(state, run, cause).max
}

/** How long the next attempt waits, when so many were made before it. */
export function backoffMs(rule: RetryRule, tries: number, token: number, index: number): number {
  if (rule.backoffMs === 0) return 0
  const whole = Math.min(rule.backoffMaxMs, rule.backoffMs * rule.backoffFactor ** tries)
  return Math.round(whole * (1 - (rule.jitter * (hash(token, index) % jitterSteps)) / jitterSteps))
}

/** Mixes two whole numbers; the finalizer of MurmurHash3. */
function hash(token: number, index: number): number {
  let mixed = Math.imul(token, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

export type Mishap = {
  readonly cause: RetryCause
  /** What happened, for people. */
  readonly words: string
  /** Nothing of it was seen: it is tried again without a level, because nothing points at it. */
  readonly innocent?: boolean
  /** Largest batch of the next attempt, as far as it follows from what happened; 0 = any. */
  readonly batchMax: number
}

/** Puts the task back. Whether that is allowed has been decided. */
export function requeue(
  decisions: TaskDecisions,
  state: State,
  run: Run,
  batch: Batch,
  index: number,
  mishap: Mishap,
  nowMs: number,
): void {
  const { cause, words, batchMax } = mishap
  if (state.format < 2) {
    decisions.requeue(index, cause === 'infrastructure' ? 'lost' : cause, words, batchMax)
    return
  }
  const task = run.tasks[index]!
  const rule = ruleOf(state, run, cause)
  const waitMs = backoffMs(rule, triesOf(run, task, cause), batch.token, index)
  const readyMs = nowMs + waitMs
  const wait = waitMs > 0 ? { notBeforeMs: readyMs } : {}
  const waits = waitMs > 0 ? `, in ${(waitMs / 1000).toFixed(1)} s` : ''
  const untilMs = readyMs + state.limits.avoidWaitMs
  if (mishap.innocent) {
    const avoid = avoidOf(state, run, batch, task, rule.where, untilMs)
    decisions.requeue(index, cause, `${words}${waits}`, batchMax, { ...wait, ...avoid })
    return
  }
  const origin = { worker: batch.worker, elsewhere: rule.where !== 'any' }
  decisions.blamed.add(index)
  const { level, why } = chooseLevel(state, run, task, cause, origin, nowMs)
  const next = why === undefined ? '' : `; next ${why}`
  const far = rule.where === 'any' && level === 'other-worker' ? 'other-worker' : rule.where
  const on = { worker: batch.worker, untilMs: untilMs + state.limits.recycleMaxMs }
  decisions.requeue(index, cause, `${words}${next}${waits}`, batchMaxOf(task, mishap, level), {
    ...wait,
    ...(level === undefined ? {} : { level }),
    ...(level === 'recycle-worker' ? { on } : avoidOf(state, run, batch, task, far, untilMs)),
  })
}

/** No further attempt: the last recovery level. */
export function giveUp(
  decisions: TaskDecisions,
  state: State,
  task: Task,
  index: number,
  end: 'failed' | 'timed-out' | 'lost',
  cause: RetryCause,
  words: string,
): void {
  decisions.blamed.add(index)
  if (state.format < 2) decisions.end(index, end, words)
  else if (task.again?.highest === undefined) decisions.end(index, end, words, cause)
  else decisions.end(index, end, `${words}; given up after ${task.attempts} attempts`, cause)
}

function avoidOf(
  state: State,
  run: Run,
  batch: Batch,
  task: Task,
  where: RetryWhere,
  untilMs: number,
): { readonly avoid?: Avoid } {
  if (where === 'any') return {}
  const worker = state.workers.get(batch.worker)!
  const { avoidMax } = state.limits
  const before = task.again?.avoid
  const all = avoidMore(before, where, worker, untilMs, avoidMax)
  const group = run.groups[task.kind]!
  if (before === undefined || anotherFits(state, run, group, all)) return { avoid: all }
  // It has been everywhere: going back to where it was longest ago beats waiting for a new worker.
  const last = avoidMore(undefined, where, worker, untilMs, avoidMax)
  return { avoid: anotherFits(state, run, group, last) ? last : all }
}

function batchMaxOf(task: Task, mishap: Mishap, level: RecoveryLevel | undefined): number {
  if (level === 'in-place' || mishap.cause === 'infrastructure') return mishap.batchMax
  const alone =
    level === undefined ||
    level === 'fresh-process' ||
    mishap.cause === 'crashed' ||
    mishap.cause === 'timed-out' ||
    task.batchMax === 1 ||
    task.again?.highest === level
  return alone ? 1 : mishap.batchMax
}

/** For each worker that one of these decisions waits for: it is told to recycle, unless it has been. */
export function recyclingEvents(state: State, decided: readonly Event[], nowMs: number): Event[] {
  for (const event of decided) {
    if (event.type !== 'task.requeued' || event.on === undefined) continue
    const { worker } = event.on
    if ((state.workers.get(worker)!.recycling?.untilMs ?? 0) > nowMs) continue
    const why = `task ${event.run}/${event.tasks[0]}: ${event.why}`
    const untilMs = nowMs + state.limits.recycleMaxMs
    return [{ type: 'worker.recycling', worker, id: state.recycles + 1, why, untilMs }]
  }
  return []
}
