/** What is known of schedulers, as the API shows it. */
import type { State } from '../core/state.ts'
import type { Registered } from '../plugins/registry.ts'
import type { SchedulerHost } from '../plugins/scheduler-host.ts'
import type { SchedulerChoiceView, SchedulersView, SchedulerView } from '../protocol/scheduler.ts'

export function schedulersView(coordinator: string, host: SchedulerHost, state: State, nowMs: number): SchedulersView {
  const choices = [...state.schedulers.keys()].filter((project) => project !== '').sort()
  return {
    coordinator,
    schedulers: host.registry.list().map((known) => schedulerView(host, state, known, nowMs)),
    choices: ['', ...choices].map((project) => choiceView(host, state, project)),
  }
}

function schedulerView(host: SchedulerHost, state: State, known: Registered, nowMs: number): SchedulerView {
  const { name, description, source, configSchema } = known
  const { recent, suspended } = host.faultsOf(state, name, nowMs)
  const { rounds, placements, refused, faults, totalMs, longestMs } = host.countsOf(name)
  return {
    name,
    description,
    ...(source === undefined
      ? {}
      : {
          plugin: {
            name: source.plugin,
            ...(source.version === undefined ? {} : { version: source.version }),
            file: source.file,
          },
        }),
    ...(configSchema === undefined ? {} : { configSchema }),
    default: known === host.registry.default,
    suspended,
    faults: recent,
    stats: { rounds, placements, refused, faults, meanMs: rounds === 0 ? 0 : totalMs / rounds, longestMs },
  }
}

function choiceView(host: SchedulerHost, state: State, project: string): SchedulerChoiceView {
  const chosen = state.schedulers.get(project)
  const { name, why } = host.inEffect(state, chosen)
  return {
    ...(project === '' ? {} : { project }),
    ...(chosen === undefined ? {} : { chosen: chosen.strategy }),
    ...(chosen?.config === undefined ? {} : { config: chosen.config }),
    inEffect: name,
    ...(why === undefined ? {} : { why }),
  }
}
