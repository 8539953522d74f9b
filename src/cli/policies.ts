/** Schedulers by name for what is played: built-in ones, and those of plugins that the command line names. */
import { loadPlugins } from '../plugins/load.ts'
import type { Registry } from '../plugins/registry.ts'
import { SchedulerHost } from '../plugins/scheduler-host.ts'
import { MusterError } from '../protocol/errors.ts'
import type { Policy } from '../scheduling/player.ts'
import type { PlayedPolicy } from '../scheduling/recording.ts'
import { fromHere } from './plugin-flag.ts'

/** A plugin's code has this long for one round; what it decides must not hang on how busy this machine is. */
const roundMs = 10_000

export class Policies {
  readonly #registry: Registry
  readonly #hosts: SchedulerHost[] = []

  private constructor(registry: Registry) {
    this.#registry = registry
  }

  static async load(plugins: readonly string[] = []): Promise<Policies> {
    return new Policies(await loadPlugins(plugins.map(fromHere)))
  }

  get default(): Policy {
    return this.named(this.#registry.default.name)
  }

  has(name: string): boolean {
    return this.#registry.get(name) !== undefined
  }

  /** Follows what is chosen while it plays; `label`: what people call that. */
  asChosen(label: string): PlayedPolicy {
    const { name, description } = this.#registry.default
    return { ...this.#hosted(name, description), asChosen: label }
  }

  named(name: string): Policy {
    const known = this.#registry.get(name)
    if (!known) {
      throw new MusterError(
        'usage',
        `--policy: expected one of ${this.#registry.names.join(', ')}, received '${name}'`,
        {
          hint: "One of a plugin needs '--plugin PATH', as for 'muster serve'.",
        },
      )
    }
    if (known.code.type === 'built-in') return known.code.strategy
    return this.#hosted(name, known.description)
  }

  /** Places by what the play's state says is chosen, as a leader does; at first that is this one. */
  #hosted(name: string, description: string): Policy {
    const host = new SchedulerHost({ registry: this.#registry, roundMs })
    this.#hosts.push(host)
    return {
      name,
      description,
      place: (view) => host.place(view),
      refused: (placement, why) => host.refused(placement, why),
      takeFaults: () => host.takeFaults(),
    }
  }

  /** What plugins did wrong while they were played: then the default placed instead. */
  get problems(): readonly string[] {
    return this.#registry.names.flatMap((name) => {
      const faults = this.#hosts.reduce((sum, host) => sum + host.countsOf(name).faults, 0)
      return faults === 0
        ? []
        : [`scheduler '${name}' did something wrong ${faults} times; '${this.default.name}' placed instead`]
    })
  }
}
