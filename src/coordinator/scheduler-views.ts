/** What is known of schedulers, as the API shows it. */
import type { Registered } from '../plugins/registry.ts'
import type { OwnMetrics } from '../plugins/own-metrics.ts'
import type { SchedulerHost } from '../plugins/scheduler-host.ts'
import type { StrategyView } from '../scheduling/ordering.ts'
import type { State } from '../core/state.ts'
import type { SchedulerChoiceView, SchedulersView, SchedulerView } from '../protocol/scheduler.ts'

export function schedulersView(coordinator: string, host: SchedulerHost, view: StrategyView): SchedulersView {
  const { state } = view
  const choices = [...state.schedulers.keys()].filter((project) => project !== '').sort()
  return {
    coordinator,
    schedulers: host.registry.list().map((known) => schedulerView(host, view, known)),
    choices: ['', ...choices].map((project) => choiceView(host, state, project)),
  }
}

function schedulerView(host: SchedulerHost, view: StrategyView, known: Registered): SchedulerView {
  const { state, nowMs } = view
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
    ...metricsView(host.metricsOf(view, name)),
  }
}

function metricsView(said: OwnMetrics | undefined): Pick<SchedulerView, 'metrics' | 'metricsProblem'> {
  if (said === undefined) return {}
  return 'why' in said ? { metricsProblem: said.why } : { metrics: said.values }
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
