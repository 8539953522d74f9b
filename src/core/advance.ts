/**
 * The whole core in one call: `step` reads state and says what happens, `apply` folds it in, and what
 * follows from the new state (a run is complete, too many failures) is added until nothing does.
 * Nothing here waits, looks at a clock, or draws a random number.
 */
import { unreachable } from '../stdx/assert.ts'
import { applyAssigned, applyBatchEnded, stepAssign, stepEnd, stepReport, stepStart } from './batch.ts'
import { applyLetter, expiredLetters, stepDiscard, stepReplay } from './dead-letter.ts'
import {
  applyCounted,
  applyMoved,
  breakerEvents,
  stepObserve,
  stepOpen,
  stepProbe,
  stepReset,
  stepTick,
} from './breaker.ts'
import { letterEvents } from './dead-letter-events.ts'
import { dependencyEvents } from './dependencies.ts'
import { promoteDue } from './due.ts'
import type { RunId } from './entities.ts'
import type { Event } from './events.ts'
import { assertReadable, stepRaiseFormat } from './format.ts'
import { Refused, type Input } from './input.ts'
import { noteQueue } from './queue-changes.ts'
import {
  applyCancelled,
  applyErrored,
  applyExtended,
  applyFinished,
  applyForgotten,
  applySubmitted,
  settleRun,
  stepAbandon,
  stepCancel,
  stepExtend,
  stepPause,
  stepPrioritise,
  stepPrune,
  stepResume,
  stepSeal,
  stepSubmit,
} from './run.ts'
import { applySchedulerChosen, applySchedulerFaulted, stepChooseScheduler, stepFaultScheduler } from './scheduler.ts'
import type { State } from './state.ts'
import { applyEnded, applyReported, applyRequeued, applyStarted, applyUnblocked } from './task.ts'
import { applyUserTokenMade, applyUserTokensRevoked, stepMakeUserToken, stepRevokeUserTokens } from './user-tokens.ts'
import { applyJoined, applyRecycled, applyRecycling, stepDrain, stepJoin, stepLeave, stepRecycled } from './worker.ts'

/** What would happen. Reads only; throws Refused when the input can't be taken. */
export function step(state: State, input: Input, nowMs: number): readonly Event[] {
  switch (input.type) {
    case 'lead':
      return [{ type: 'leader.started', epoch: input.epoch, owner: input.owner, version: input.version }]
    case 'raise-format':
      return stepRaiseFormat(state, input)
    case 'choose-scheduler':
      return stepChooseScheduler(state, input)
    case 'fault-scheduler':
      return stepFaultScheduler(state, input)
    case 'make-user-token':
      return stepMakeUserToken(state, input, nowMs)
    case 'revoke-user-tokens':
      return stepRevokeUserTokens(state, input)
    case 'submit':
      return stepSubmit(state, input)
    case 'extend':
      return stepExtend(state, input)
    case 'seal':
      return stepSeal(state, input)
    case 'pause':
      return stepPause(state, input)
    case 'resume':
      return stepResume(state, input)
    case 'prioritise':
      return stepPrioritise(state, input)
    case 'cancel':
      return stepCancel(state, input)
    case 'abandon':
      return stepAbandon(state, input)
    case 'assign':
      return stepAssign(state, input, nowMs)
    case 'join':
      return stepJoin(state, input)
    case 'drain':
      return stepDrain(state, input)
    case 'leave':
      return stepLeave(state, input, nowMs)
    case 'recycled':
      return stepRecycled(state, input)
    case 'start':
      return stepStart(state, input)
    case 'report':
      return stepReport(state, input, nowMs)
    case 'end':
      return stepEnd(state, input, nowMs)
    case 'replay':
      return stepReplay(state, input)
    case 'tick':
      return stepTick(state, nowMs)
    case 'probe':
      return stepProbe(state, input, nowMs)
    case 'observe':
      return stepObserve(state, input)
    case 'open-breaker':
      return stepOpen(state, input, nowMs)
    case 'reset-breakers':
      return stepReset(state, input, nowMs)
    case 'discard':
      return stepDiscard(state, input)
    case 'prune':
      return [...stepPrune(state), ...expiredLetters(state)]
    default: {
      // From a member of a newer version. It is one caller's misfortune, and must not end whoever leads.
      const { type } = input satisfies never as { readonly type: string }
      throw new Refused('request_invalid', `the leading coordinator does not know '${type}'; upgrade all coordinators`)
    }
  }
}

/** Folds one event into state. Deterministic; throws only when the history is impossible. */
export function apply(state: State, event: Event, atMs: number): void {
  if (atMs > state.atMs) state.atMs = atMs
  promoteDue(state)
  switch (event.type) {
    case 'leader.started':
      state.epoch = event.epoch
      return
    case 'format.raised':
      assertReadable('the log', event.format)
      state.format = event.format
      return
    case 'scheduler.chosen':
      return applySchedulerChosen(state, event)
    case 'scheduler.faulted':
      return applySchedulerFaulted(state, event, atMs)
    case 'user-token.made':
      return applyUserTokenMade(state, event, atMs)
    case 'user-tokens.revoked':
      return applyUserTokensRevoked(state, event)
    case 'run.submitted':
      return applySubmitted(state, event, atMs)
    case 'run.forgotten':
      return applyForgotten(state, event)
    case 'worker.joined':
      return applyJoined(state, event)
    case 'worker.drained':
      state.fleetVersion += 1
      state.workers.get(event.worker)!.draining = true
      return
    case 'worker.left':
      state.fleetVersion += 1
      state.workers.delete(event.worker)
      state.free.delete(event.worker)
      state.recycling.delete(event.worker)
      return
    case 'worker.recycling':
      return applyRecycling(state, event, atMs)
    case 'worker.recycled':
      return applyRecycled(state, event, atMs)
    case 'dead-letter.added':
    case 'dead-letter.replayed':
    case 'dead-letter.settled':
    case 'dead-letter.discarded':
    case 'dead-letter.dropped':
      return applyLetter(state, event)
    case 'breaker.moved':
      return applyMoved(state, event, atMs)
    case 'breaker.counted':
      return applyCounted(state, event)
    default:
      applyToRun(state, event, atMs)
  }
}

/** Those that concern one run which state knows. */
type RunEvent = Exclude<
  Extract<Event, { run: RunId }>,
  { type: 'run.submitted' | 'run.forgotten' | `dead-letter.${string}` }
>

function applyToRun(state: State, event: RunEvent, atMs: number): void {
  const run = state.runs.get(event.run)!
  switch (event.type) {
    case 'run.extended':
      return applyExtended(state, event)
    case 'run.sealed':
      run.open = false
      break
    case 'run.paused':
      run.state = 'paused'
      noteQueue(state, run)
      break
    case 'run.resumed':
      run.state = run.startedAtMs === undefined ? 'queued' : 'running'
      noteQueue(state, run)
      break
    case 'run.prioritised':
      run.priority = event.priority
      noteQueue(state, run)
      break
    case 'run.cancelled':
      applyCancelled(run, event)
      noteQueue(state, run)
      break
    case 'run.errored':
      applyErrored(state, run, event)
      break
    case 'run.finished':
      applyFinished(state, run, event, atMs)
      break
    case 'batch.assigned':
      return applyAssigned(state, run, event, atMs)
    case 'batch.ended':
      return applyBatchEnded(state, run, event, atMs)
    case 'task.started':
      return applyStarted(state, run, event)
    case 'task.reported':
      return applyReported(state, run, event, atMs)
    case 'task.requeued':
      return applyRequeued(state, run, event)
    case 'task.unblocked':
      return applyUnblocked(state, run, event)
    case 'task.ended':
      return applyEnded(state, run, event)
    default:
      return unreachable(event)
  }
  run.version += 1
}

/** Takes one input: returns all events it led to, already applied. Throws Refused with nothing changed. */
export function advance(state: State, input: Input, nowMs: number): readonly Event[] {
  const first = step(state, input, nowMs)
  if (first.length === 0) return first
  const events: Event[] = []
  const take = (more: readonly Event[]) => {
    for (const event of more) {
      apply(state, event, nowMs)
      events.push(event)
    }
  }
  /** Runs to settle; the one that something happened to last is last, also when it was here before. */
  const touched = new Set<RunId>()
  const follow = (more: readonly Event[]) => {
    // What leads to more of it again and again may do so very often: not by recursion.
    while (more.length > 0) {
      take(more)
      for (const event of more) {
        if (!('run' in event)) continue
        touched.delete(event.run)
        touched.add(event.run)
      }
      take(letterEvents(state, more, input.type))
      const moved = breakerEvents(state, more, nowMs)
      take(moved)
      more = dependencyEvents(state, moved.length === 0 ? more : [...more, ...moved])
    }
  }
  follow(first)
  for (const id of touched) {
    const run = state.runs.get(id)
    if (!run) continue
    for (let more = settleRun(run, nowMs); more.length > 0; more = settleRun(run, nowMs)) follow(more)
  }
  return events
}
