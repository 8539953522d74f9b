/** The strategies that a coordinator knows, by name: built-in ones and those of plugins, by the same rules. */
import { builtinStrategies, defaultStrategy } from '../scheduling/strategies/builtin.ts'
import type { Strategy } from '../scheduling/strategy.ts'
import { checkPlugin, invalid } from './check-plugin.ts'
import { assertSchema, configCheck, type ConfigCheck } from './config.ts'
import type { JsonSchema, OrderedScheduler, PluginScheduler } from './contract.ts'

export type Source = { readonly plugin: string; readonly version?: string; readonly file: string }

export type Registered = {
  readonly name: string
  readonly description: string
  readonly configSchema: JsonSchema | undefined
  readonly check: ConfigCheck
  /** Absent: it came with Muster. */
  readonly source: Source | undefined
  /** Called directly on state, or guarded and on a view of it. */
  readonly code:
    | { readonly type: 'built-in'; readonly strategy: Strategy }
    | { readonly type: 'plugin'; readonly scheduler: PluginScheduler }
}

export class Registry {
  readonly #known = new Map<string, Registered>()
  readonly default: Registered

  constructor(builtins: readonly Strategy[] = builtinStrategies) {
    for (const strategy of builtins) this.#add(strategy, undefined, { type: 'built-in', strategy })
    this.default = this.#known.get(defaultStrategy.name)!
  }

  get names(): readonly string[] {
    return [...this.#known.keys()]
  }

  list(): readonly Registered[] {
    return [...this.#known.values()]
  }

  get(name: string): Registered | undefined {
    return this.#known.get(name)
  }

  /** All of it or nothing. Throws MusterError config_invalid, which names `file`. */
  add(file: string, value: unknown): void {
    const plugin = checkPlugin(file, value)
    const { name, version, schedulers } = plugin
    const source: Source = { plugin: name, ...(version === undefined ? {} : { version }), file }
    const seen = new Set<string>()
    for (const [at, scheduler] of schedulers.entries()) {
      const other = this.#known.get(scheduler.name)
      if (other !== undefined || seen.has(scheduler.name)) {
        const whose =
          other === undefined ? 'the same plugin' : other.source === undefined ? 'Muster itself' : other.source.file
        throw invalid(file, `schedulers[${at}].name`, `a name that is free (${whose} has it)`, scheduler.name)
      }
      seen.add(scheduler.name)
      assertSchema(scheduler.configSchema, `schedulers[${at}] of plugin ${file}`)
    }
    for (const one of schedulers) {
      const scheduler = asRead(one)
      this.#add(scheduler, source, { type: 'plugin', scheduler })
    }
  }

  #add(
    about: Pick<Strategy, 'name' | 'description' | 'configSchema'>,
    source: Source | undefined,
    code: Registered['code'],
  ): void {
    const { name, description, configSchema } = about
    const check = configCheck(configSchema, `scheduler '${name}'${source === undefined ? '' : ` of ${source.file}`}`)
    this.#known.set(name, { name, description, configSchema, check, source, code })
  }
}

/** Once, and never again: what it says of itself may be getters, and those would run unguarded in every round. */
function asRead(scheduler: PluginScheduler): PluginScheduler {
  const { name, description, configSchema } = scheduler
  const metrics = scheduler.metrics?.bind(scheduler)
  const about = {
    name,
    description,
    ...(configSchema === undefined ? {} : { configSchema }),
    ...(metrics === undefined ? {} : { metrics }),
  }
  if ('place' in scheduler && scheduler.place !== undefined) return { ...about, place: scheduler.place.bind(scheduler) }
  const ordered = scheduler as OrderedScheduler
  const { turn } = ordered
  const rank = ordered.rank?.bind(ordered)
  return {
    ...about,
    ...(turn === undefined ? {} : { turn }),
    order: ordered.order.bind(ordered),
    ...(rank === undefined ? {} : { rank }),
  }
}
