/**
 * Circuit breakers: what keeps failing is left alone for a while. Closed: all is well, outcomes are
 * counted. Open: too much of what was tried within the window failed; nothing is tried until the
 * cool-down is over, which grows with every opening in a row. Half-open: a few probes decide. Every move
 * is an event, so that a breaker is the same on every coordinator.
 *
 * A worker is blamed for batches that were lost with it or ended without any good, and only while the
 * others do better: when all fail alike, it's the tests. A class is blamed when batches come to nothing
 * on several workers. What must not happen is a run that waits for ever behind breakers: the last
 * worker's never opens, the shell asks for a probe where all that fit are open (`probe`), and tasks of an
 * open class are given up after a while.
 */
import { assert } from '../stdx/assert.ts'
import {
  breakerAt,
  classScope,
  count,
  countsOf,
  scopeKind,
  windowMaxMs,
  workerScope,
  type Breaker,
  type ScopeKind,
} from './breaker-state.ts'
import type { BatchEnded, BreakerCounted, BreakerMoved, BreakerStand, Event } from './events.ts'
import { lacksContext } from './fit.ts'
import { Refused, type Observe, type OpenBreaker, type Probe, type ResetBreakers } from './input.ts'
import type { Limits } from './limits.ts'
import { waitingTasks } from './waiting.ts'
import type { Batch, Run, State, Worker } from './state.ts'

// ---- thresholds ----

export type Thresholds = {
  /** Failures within the window before anything happens, and their share of all outcomes. */
  readonly failuresMin: number
  readonly ratePercent: number
  readonly windowMs: number
  readonly coolDownMs: number
  /** Workers that the failures must be spread over. */
  readonly workersMin: number
}

export function thresholdsOf(limits: Limits, kind: ScopeKind): Thresholds {
  switch (kind) {
    case 'worker':
      return {
        failuresMin: limits.workerBreakerFailuresMin,
        ratePercent: limits.workerBreakerRatePercent,
        windowMs: Math.min(limits.workerBreakerWindowMs, windowMaxMs),
        coolDownMs: limits.workerBreakerCoolDownMs,
        workersMin: 0,
      }
    case 'class':
      return {
        failuresMin: limits.classBreakerFailuresMin,
        ratePercent: limits.classBreakerRatePercent,
        windowMs: Math.min(limits.classBreakerWindowMs, windowMaxMs),
        coolDownMs: limits.classBreakerCoolDownMs,
        workersMin: limits.classBreakerWorkersMin,
      }
    case 'integration':
      return {
        failuresMin: limits.integrationBreakerFailuresMin,
        ratePercent: limits.integrationBreakerRatePercent,
        windowMs: Math.min(limits.integrationBreakerWindowMs, windowMaxMs),
        coolDownMs: limits.integrationBreakerCoolDownMs,
        workersMin: 0,
      }
  }
}

// ---- who may do what ----

/** How many tasks a batch of this run on this worker may have: 0 = none, Infinity = any number. */
export function allowance(state: State, run: Run, worker: Worker): number {
  if (state.breakers.notClosed.size === 0) return Infinity
  return Math.min(scopeAllowance(state, classScope(run.spec)), scopeAllowance(state, workerScope(worker.id)))
}

export function scopeAllowance(state: State, scope: string): number {
  if (!state.breakers.notClosed.has(scope)) return Infinity
  const breaker = state.breakers.byScope.get(scope)!
  if (breaker.stand === 'open' || breaker.probes.size >= state.limits.breakerProbesMax) return 0
  return state.limits.breakerProbeTasksMax
}

/** For the shell, before it calls out. */
export function isOpen(state: State, scope: string): boolean {
  return state.breakers.notClosed.has(scope) && state.breakers.byScope.get(scope)!.stand === 'open'
}

// ---- counting, as part of apply ----

type Outcome = 'ok' | 'failed' | undefined

/** A worker does well when a framework ran on it, whatever the tests said. */
function workerOutcome(batch: Batch, event: BatchEnded): Outcome {
  switch (event.reason) {
    case 'completed':
    case 'timed-out':
      return batch.begun ? 'ok' : 'failed'
    case 'cancelled':
      return undefined
    case 'crashed':
      // One file alone that was running: it is the suspect, and nobody else.
      return batch.begun && batch.tasks.length === 1 ? undefined : 'failed'
    default:
      return 'failed'
  }
}

/** Nothing can be said of a class by a worker that was lost. */
function classOutcome(batch: Batch, event: BatchEnded): Outcome {
  return event.reason === 'lost' || event.reason === 'fenced' ? undefined : workerOutcome(batch, event)
}

/** Called when a batch is over, before it is forgotten. */
export function countBatch(state: State, run: Run, batch: Batch, event: BatchEnded): void {
  // Whoever is told to stop may end in any way; and what lacks a context can't be started by anybody.
  const stopped = run.cancelled !== undefined || (event.reason === 'failed-to-start' && lacksContext(run.spec))
  countOutcome(state, workerScope(batch.worker), batch, stopped ? undefined : workerOutcome(batch, event))
  countOutcome(state, classScope(run.spec), batch, stopped ? undefined : classOutcome(batch, event))
}

function countOutcome(state: State, scope: string, batch: Batch, outcome: Outcome): void {
  const known = state.breakers.byScope.get(scope)
  if (outcome === undefined) {
    known?.probes.delete(batch.id)
    return
  }
  const breaker = breakerAt(state.breakers, scope, state.atMs)
  count(breaker, state.atMs, outcome === 'ok' ? 1 : 0, outcome === 'failed' ? 1 : 0, batch.worker)
  // One bad probe outweighs good ones that ended at the same moment.
  if (breaker.probes.delete(batch.id) && breaker.probed !== 'failed') breaker.probed = outcome
}

export function applyCounted(state: State, event: BreakerCounted): void {
  const breaker = breakerAt(state.breakers, event.scope, state.atMs)
  count(breaker, state.atMs, event.ok, event.failed)
  // Calls are not batches: while it is half-open, each is a probe.
  if (breaker.stand === 'half-open') breaker.probed = event.failed > 0 ? 'failed' : 'ok'
}

/** A batch that was just assigned is a probe of what is half-open. */
export function noteProbe(state: State, run: Run, batch: Batch): void {
  if (state.breakers.notClosed.size === 0) return
  for (const scope of [workerScope(batch.worker), classScope(run.spec)]) {
    if (!state.breakers.notClosed.has(scope)) continue
    const breaker = state.breakers.byScope.get(scope)!
    assert(breaker.stand === 'half-open', `nothing is assigned while ${scope} is open`)
    breaker.probes.add(batch.id)
  }
}

// ---- what follows from events that were just applied ----

const isOutcome = ({ type }: Event): boolean => type === 'batch.ended' || type === 'breaker.counted'

export function breakerEvents(state: State, events: readonly Event[], nowMs: number): readonly Event[] {
  if (state.format < 2 || !events.some(isOutcome)) return []
  const scopes = new Set<string>()
  const last = new Map<string, string>()
  for (const event of events) {
    if (event.type === 'breaker.counted') {
      scopes.add(event.scope)
      last.set(event.scope, event.why)
    } else if (event.type === 'batch.ended') {
      const run = state.runs.get(event.run)!
      for (const scope of [workerScope(event.worker), classScope(run.spec)]) {
        scopes.add(scope)
        last.set(scope, event.message === undefined ? event.reason : `${event.reason}: ${event.message}`)
      }
    }
  }
  const moves: Event[] = []
  /** What opens in this very pass leaves fewer to take the work. */
  const opening = new Set<string>()
  for (const scope of scopes) {
    const breaker = state.breakers.byScope.get(scope)
    const move = breaker && moveOf(state, breaker, nowMs, firstLine(last.get(scope)!), opening)
    if (!move) continue
    if (move.to === 'open') opening.add(scope)
    moves.push(move)
  }
  return moves
}

const wordsMax = 200

function firstLine(text: string): string {
  return text.split('\n')[0]!.slice(0, wordsMax)
}

function moveOf(
  state: State,
  breaker: Breaker,
  nowMs: number,
  last: string,
  opening: ReadonlySet<string>,
): BreakerMoved | undefined {
  if (breaker.stand === 'half-open' && breaker.probed !== undefined) {
    return breaker.probed === 'ok'
      ? moved(state, breaker, 'closed', nowMs, 'coordinator', 'a probe went well')
      : moved(state, breaker, 'open', nowMs, 'coordinator', `a probe failed; ${last}`)
  }
  if (breaker.stand !== 'closed') return undefined
  const kind = scopeKind(breaker.scope)!
  const { failuresMin, ratePercent, windowMs, workersMin } = thresholdsOf(state.limits, kind)
  const counts = countsOf(breaker, nowMs, windowMs)
  const total = counts.ok + counts.failed
  if (counts.failed < failuresMin || counts.failed * 100 < total * ratePercent || counts.workers < workersMin)
    return undefined
  if (kind === 'worker' && !othersDoBetter(state, breaker, nowMs, opening)) return undefined
  const what = kind === 'integration' ? 'calls' : 'batches'
  const where = kind === 'class' ? ` on ${counts.workers} workers` : ''
  const words = `${counts.failed} of ${total} ${what}${where} failed within ${Math.round(windowMs / 1000)} s; ${last}`
  return moved(state, breaker, 'open', nowMs, 'coordinator', words)
}

/** Another worker takes work, and those that do fail less than what would open their breakers. */
function othersDoBetter(state: State, breaker: Breaker, nowMs: number, opening: ReadonlySet<string>): boolean {
  const { ratePercent, windowMs } = thresholdsOf(state.limits, 'worker')
  let ok = 0
  let failed = 0
  let others = 0
  for (const worker of state.workers.values()) {
    const scope = workerScope(worker.id)
    if (scope === breaker.scope || worker.draining) continue
    const other = state.breakers.byScope.get(scope)
    if (opening.has(scope) || (other && other.stand !== 'closed')) continue
    others += 1
    if (!other) continue
    const counts = countsOf(other, nowMs, windowMs)
    ok += counts.ok
    failed += counts.failed
  }
  return others > 0 && (failed === 0 || failed * 100 < (ok + failed) * ratePercent)
}

function moved(
  state: State,
  breaker: Breaker,
  to: BreakerStand,
  nowMs: number,
  who: string,
  why: string,
): BreakerMoved {
  const { scope, stand } = breaker
  const { windowMs, coolDownMs } = thresholdsOf(state.limits, scopeKind(scope)!)
  const counts = countsOf(breaker, nowMs, windowMs)
  const base: BreakerMoved = { type: 'breaker.moved', scope, from: stand, to, who, why, counts }
  if (to !== 'open') return base
  const { breakerCoolDownMaxMs } = state.limits
  const forgiven = stand === 'closed' && nowMs - breaker.movedAtMs > breakerCoolDownMaxMs
  const opens = forgiven ? 1 : breaker.opens + 1
  const waitMs = Math.min(coolDownMs * 2 ** Math.min(opens - 1, 30), breakerCoolDownMaxMs)
  return { ...base, opens, untilMs: nowMs + waitMs }
}

// ---- inputs ----

/** The next moment at which the shell should send `tick`; undefined = none in sight. */
export function tickDueMs(state: State): number | undefined {
  let due = Infinity
  for (const scope of state.breakers.notClosed) {
    const breaker = state.breakers.byScope.get(scope)!
    if (breaker.stand === 'open' && breaker.untilMs !== undefined) due = Math.min(due, breaker.untilMs)
    if (isAbandoned(state, breaker)) due = Math.min(due, breaker.movedAtMs + state.limits.breakerCoolDownMaxMs)
    for (const run of waitingBehind(state, breaker)) due = Math.min(due, givenUpAtMs(state, breaker, run))
  }
  return due === Infinity ? undefined : due
}

/** Cool-downs that are over, and tasks that have waited long enough behind their class. */
export function stepTick(state: State, nowMs: number): readonly Event[] {
  if (state.format < 2) return []
  const events: Event[] = []
  for (const scope of state.breakers.notClosed) {
    const breaker = state.breakers.byScope.get(scope)!
    if (breaker.stand === 'open' && breaker.untilMs !== undefined && breaker.untilMs <= nowMs) {
      events.push(moved(state, breaker, 'half-open', nowMs, 'coordinator', 'its cool-down is over'))
    } else if (isAbandoned(state, breaker) && breaker.movedAtMs + state.limits.breakerCoolDownMaxMs <= nowMs) {
      events.push(moved(state, breaker, 'closed', nowMs, 'coordinator', 'its worker is gone'))
    }
    for (const run of waitingBehind(state, breaker)) {
      if (givenUpAtMs(state, breaker, run) > nowMs) continue
      const why = `waited too long behind ${scope}: ${breaker.why}`
      events.push({ type: 'task.ended', run: run.id, tasks: waitingTasks(run), state: 'lost', why })
    }
  }
  return events
}

/** Half-open, and nobody there to be probed. */
function isAbandoned(state: State, breaker: Breaker): boolean {
  if (breaker.stand !== 'half-open' || breaker.probes.size > 0 || !breaker.scope.startsWith('worker:')) return false
  return !state.workers.has(breaker.scope.slice('worker:'.length))
}

/** Runs with tasks that an open class keeps from being assigned. */
function waitingBehind(state: State, breaker: Breaker): Run[] {
  if (!breaker.scope.startsWith('class:')) return []
  const runs: Run[] = []
  for (const id of state.active) {
    const run = state.runs.get(id)!
    if (run.queuedCount === 0 || run.state === 'paused' || run.after.length > 0) continue
    if (classScope(run.spec) === breaker.scope) runs.push(run)
  }
  return runs
}

function givenUpAtMs(state: State, breaker: Breaker, run: Run): number {
  return Math.max(run.createdAtMs, breaker.leftClosedAtMs!) + state.limits.classBreakerWaitMaxMs
}

/** A run waits, and every worker that fits is open: the least bad one is tried before its time. */
export function stepProbe(state: State, input: Probe, nowMs: number): readonly Event[] {
  const breaker = state.breakers.byScope.get(input.scope)
  // What a person holds open is left to that person.
  if (breaker?.stand !== 'open' || breaker.untilMs === undefined) return []
  return [moved(state, breaker, 'half-open', nowMs, 'coordinator', input.why)]
}

/** What became of calls to something outside. Nothing is written while all is well. */
export function stepObserve(state: State, input: Observe): readonly Event[] {
  if (scopeKind(input.scope) !== 'integration') {
    throw new Refused('request_invalid', `expected integration:NAME, received '${input.scope}'`)
  }
  const known = state.breakers.byScope.get(input.scope)
  if (state.format < 2 || input.ok + input.failed === 0) return []
  if (input.failed === 0 && (!known || isQuiet(state, known))) return []
  const { scope, ok, failed, why } = input
  return [{ type: 'breaker.counted', scope, ok, failed, why }]
}

function isQuiet(state: State, breaker: Breaker): boolean {
  const { windowMs } = thresholdsOf(state.limits, 'integration')
  return breaker.stand === 'closed' && countsOf(breaker, state.atMs, windowMs).failed === 0
}

/** By a person; it stays open until it is reset. */
export function stepOpen(state: State, input: OpenBreaker, nowMs: number): readonly Event[] {
  checkScope(state, input.scope)
  if (state.format < 2) throw new Refused('conflict', 'breakers are of use once every coordinator is up to date')
  const known = state.breakers.byScope.get(input.scope)
  if (known?.stand === 'open') {
    if (known.untilMs === undefined) return []
    // Held from now on: by way of half-open, so that no move is an odd one.
    const half = moved(state, known, 'half-open', nowMs, input.who, input.why)
    return [half, { ...half, from: 'half-open', to: 'open', opens: known.opens }]
  }
  const { scope, who, why } = input
  const counts = known ? countsOf(known, nowMs, windowMaxMs) : { ok: 0, failed: 0, workers: 0 }
  const opens = (known?.opens ?? 0) + 1
  return [{ type: 'breaker.moved', scope, from: known?.stand ?? 'closed', to: 'open', who, why, counts, opens }]
}

function checkScope(state: State, scope: string): void {
  const kind = scopeKind(scope)
  if (kind === undefined) {
    const shapes = 'worker:ID, class:PROJECT/SUITE or integration:NAME'
    throw new Refused('request_invalid', `expected ${shapes}, received '${scope}'`)
  }
  if (kind === 'worker' && !state.workers.has(scope.slice('worker:'.length)) && !state.breakers.byScope.has(scope)) {
    throw new Refused('not_found', `no worker ${scope.slice('worker:'.length)}`)
  }
}

export function stepReset(state: State, input: ResetBreakers, nowMs: number): readonly Event[] {
  const events: Event[] = []
  for (const scope of input.scopes ?? state.breakers.notClosed) {
    checkScope(state, scope)
    const breaker = state.breakers.byScope.get(scope)
    if (!breaker || breaker.stand === 'closed') continue
    const why = `reset: ${input.why}`
    if (breaker.stand === 'open') events.push(moved(state, breaker, 'half-open', nowMs, input.who, why))
    events.push({ ...moved(state, breaker, 'closed', nowMs, input.who, why), from: 'half-open', opens: 0 })
  }
  return events
}

// ---- apply ----

export const breakerMoves: Readonly<Record<BreakerStand, readonly BreakerStand[]>> = {
  closed: ['open'],
  open: ['half-open'],
  'half-open': ['closed', 'open'],
}

export function applyMoved(state: State, event: BreakerMoved, atMs: number): void {
  const breaker = breakerAt(state.breakers, event.scope, atMs)
  assert(breaker.stand === event.from, `${event.scope} is ${event.from}, not ${breaker.stand}`)
  assert(breakerMoves[event.from].includes(event.to), `${event.scope} can't go from ${event.from} to ${event.to}`)
  breaker.stand = event.to
  breaker.movedAtMs = atMs
  breaker.who = event.who
  breaker.why = event.why
  breaker.probes.clear()
  breaker.probed = undefined
  breaker.untilMs = event.untilMs
  if (event.opens !== undefined) breaker.opens = event.opens
  if (event.to === 'open') breaker.leftClosedAtMs ??= atMs
  // What was counted before says nothing of what comes now.
  else breaker.buckets = []
  if (event.to === 'closed') {
    breaker.leftClosedAtMs = undefined
    state.breakers.notClosed.delete(event.scope)
  } else state.breakers.notClosed.add(event.scope)
}
