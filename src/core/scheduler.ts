/** Which scheduler was chosen, for all and for single projects. Whether it exists is the shell's business. */
import type { Event, SchedulerChosen } from './events.ts'
import { Refused, type ChooseScheduler } from './input.ts'
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
  if (strategy === undefined) state.schedulers.delete(project)
  else state.schedulers.set(project, { strategy, ...(config === undefined ? {} : { config }) })
}
