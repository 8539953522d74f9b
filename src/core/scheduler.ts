/**
 * Which scheduler was chosen, for all and for single projects, and what those that were chosen did wrong. Whether one
 * exists, and how much it may do wrong, is the shell's business; that it is remembered, so that the next leader does not
 * have to find out again, is ours.
 */
import type { Event, SchedulerChosen, SchedulerFaulted } from './events.ts'
import { Refused, type ChooseScheduler, type FaultScheduler } from './input.ts'
import type { ChosenScheduler, State } from './state.ts'

/** The key of the choice for everybody. */
const forAll = ''

export function schedulerOf(state: State, project: string): ChosenScheduler | undefined {
  return state.schedulers.get(project) ?? state.schedulers.get(forAll)
}

export function stepChooseScheduler(state: State, input: ChooseScheduler): readonly Event[] {
  if (state.format < 3)
    throw new Refused('conflict', 'the scheduler can be chosen once all coordinators have been upgraded')
  const { who, project, strategy, config } = input
  // The one that is chosen already is chosen again: that gives it another chance, should it be suspended.
  if (strategy === undefined && !state.schedulers.has(project ?? forAll)) return []
  return [
    {
      type: 'scheduler.chosen',
      who,
      ...(project === undefined ? {} : { project }),
      ...(strategy === undefined ? {} : { strategy }),
      ...(config === undefined ? {} : { config }),
    },
  ]
}

export function applySchedulerChosen(state: State, { project = forAll, strategy, config }: SchedulerChosen): void {
  if (strategy === undefined) {
    state.schedulers.delete(project)
    return
  }
  state.schedulers.set(project, { strategy, ...(config === undefined ? {} : { config }) })
  // Whoever chooses it gives it another chance.
  state.schedulerFaults.delete(strategy)
}

/** So many of the newest are remembered. */
const faultsKept = 5

/** Members of older versions would not know what it is. */
export function stepFaultScheduler(state: State, input: FaultScheduler): readonly Event[] {
  const { type: _, ...fault } = input
  return state.format < 3 ? [] : [{ type: 'scheduler.faulted', ...fault }]
}

export function applySchedulerFaulted(state: State, event: SchedulerFaulted, atMs: number): void {
  const { strategy, kind, why, suspended } = event
  const before = state.schedulerFaults.get(strategy)
  const recent = [...(before?.recent ?? []), { kind, why, atMs }].slice(-faultsKept)
  state.schedulerFaults.set(strategy, { recent, suspended: suspended || before?.suspended === true })
}
