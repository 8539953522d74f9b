/** What schedulers do on the coordinator that leads: how often they are asked, what comes of it, how long it takes. */
import client from 'prom-client'
import type { Watched } from './watched.ts'

const kinds = ['threw', 'hung', 'nonsense', 'refused'] as const

/** Returns the function that ends it. */
export function schedulerMetrics(registry: client.Registry, coordinator: Watched): () => void {
  const registers = [registry]
  const { scheduling } = coordinator
  /** Totals that the host of the schedulers keeps. */
  const total = (name: string, help: string, read: (strategy: string) => number): void => {
    new client.Counter({
      name,
      help,
      labelNames: ['scheduler'],
      registers,
      collect() {
        this.reset()
        for (const scheduler of scheduling.registry.names) this.inc({ scheduler }, read(scheduler))
      },
    })
  }
  total('muster_scheduler_decisions_total', 'Times a scheduler was asked for placements.', (strategy) => {
    return scheduling.countsOf(strategy).rounds
  })
  total('muster_scheduler_placements_total', 'Batches that a scheduler placed.', (strategy) => {
    return scheduling.countsOf(strategy).placements
  })
  total(
    'muster_scheduler_refused_placements_total',
    'Placements that would have broken a rule, and were refused.',
    (strategy) => scheduling.countsOf(strategy).refused,
  )
  const faults = new client.Counter({
    name: 'muster_scheduler_faults_total',
    help: 'Rounds that the default scheduler had to finish, by what was wrong: threw, hung, nonsense or refused.',
    labelNames: ['scheduler', 'kind'],
    registers,
  })
  for (const scheduler of scheduling.registry.names) for (const kind of kinds) faults.inc({ scheduler, kind }, 0)
  new client.Gauge({
    name: 'muster_scheduler_value',
    help: 'What a scheduler of a plugin says of itself, by the name that it gives it.',
    labelNames: ['scheduler', 'name'],
    registers,
    collect() {
      this.reset()
      for (const scheduler of scheduling.registry.names) {
        const said = coordinator.schedulerMetrics(scheduler)
        if (said === undefined || 'why' in said) continue
        for (const [name, value] of Object.entries(said.values)) this.set({ scheduler, name }, value)
      }
    },
  })
  const seconds = new client.Histogram({
    name: 'muster_scheduler_round_seconds',
    help: 'Time in the code of a scheduler each time it was asked for placements.',
    labelNames: ['scheduler'],
    buckets: [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5],
    registers,
  })
  return coordinator.watchRounds({
    round: (scheduler, ms) => seconds.observe({ scheduler }, ms / 1000),
    fault: (scheduler, kind) => faults.inc({ scheduler, kind }),
  })
}
