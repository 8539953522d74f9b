/**
 * Schedulers of a plugin as nobody should write them, beside two that are right: they throw, return rubbish, promise what
 * there is not, name what nobody knows, take too long. What they do is drawn from a stream of chance, so that the same
 * simulation has the same mischief. Time is made up, too: a scheduler says how long it takes, and `SimGuard` believes it.
 */
import { contractVersion, type Plugin } from '../../plugins/contract.ts'
import type { Guard, Guarded } from '../../plugins/guard.ts'
import {
  largestFirst,
  orderedStrategy,
  placingStrategy,
  type PluginRun,
  type PluginView,
} from '../../plugins/plugin.ts'
import type { Random } from './random.ts'

/** Ends a call in its middle, as V8 would. */
class Ended extends Error {
  override readonly name = 'Ended'
}

/** In place of a clock and of V8. */
export class SimGuard implements Guard {
  #spentMs = 0
  #untilMs = Infinity

  readonly nowMs = (): number => this.#spentMs

  readonly call = <Value>(call: () => Value, timeoutMs: number): Guarded<Value> => {
    this.#untilMs = this.#spentMs + timeoutMs
    try {
      return { type: 'ok', value: call() }
    } catch (error) {
      return error instanceof Ended ? { type: 'late' } : { type: 'threw', why: String(error) }
    } finally {
      this.#untilMs = Infinity
    }
  }

  /** What a scheduler takes. */
  spend(ms: number): void {
    this.#spentMs += ms
    if (this.#spentMs < this.#untilMs) return
    this.#spentMs = this.#untilMs
    throw new Ended('its time is over')
  }
}

/** Those that may leave work lying: it moves on when somebody chooses another. */
export const lazySchedulers: readonly string[] = ['wild', 'idle']
export const pluginSchedulers = [
  'reversed',
  'one-each',
  'thrower',
  'rubbish',
  'greedy',
  'slow',
  'forgetful',
  'wild',
  'idle',
]

type Yielded = Iterable<never>

function* oneEach(view: PluginView): Generator<unknown> {
  for (const run of largestFirst(view.runs, (one) => one.urgency))
    for (const group of run.groups) {
      // What is tried again may have to keep away from the first of them.
      for (const worker of group.free) {
        const batch = group.batchOn(worker)
        if (!batch) continue
        yield batch
        break
      }
    }
}

const rubbish: readonly unknown[] = [
  undefined,
  null,
  7,
  'runs',
  { run: 'r1' },
  { run: 'r1', worker: 'w1.1', tasks: [], cpus: 1 },
  { run: 'r1', worker: 'w1.1', tasks: ['0'], cpus: 1 },
  { run: 'r1', worker: 'w1.1', tasks: [0], cpus: Number.NaN },
  { run: 'r1', worker: 'w1.1', tasks: [0], cpus: 1, grant: { gpus: 3 } },
]

/** A placement that some rule forbids, or one of tasks that are somewhere else already. */
function wrong(random: Random, view: PluginView, right: object | undefined): unknown {
  const run = random.pick([view.runs[0]?.id ?? 'r1', 'r1', 'r2', 'nobody'])
  const worker = random.pick([view.workers[0]?.id ?? 'w1.1', 'w1.1', 'nowhere'])
  const made = { run, worker, tasks: [random.int(0, 12)], cpus: random.int(-1, 6), why: 'mischief' }
  const more = random.pick<object>([
    {},
    { cpus: random.int(3, 99) },
    { worker: 'nowhere' },
    { tasks: [0, 0] },
    { tasks: [random.int(0, 12), random.int(0, 12)] },
    { grant: {} },
    { grant: { gpus: ['0', '0', '7'], memoryBytes: -8 } },
    { grant: undefined },
  ])
  return { ...(random.chance(0.7) ? right : undefined), ...(random.chance(0.3) ? made : {}), ...more }
}

/** One coordinator's: they draw from its own stream. */
export function hostilePlugin(random: Random, guard: SimGuard): Plugin {
  const description = 'of the simulation'
  const place = (name: string, make: (view: PluginView) => Iterable<unknown>) =>
    placingStrategy({ name, description, place: (view) => make(view) as Yielded })
  const order = (name: string, make: (runs: readonly PluginRun[]) => unknown, turn: 'run' | 'batch' = 'run') =>
    orderedStrategy({ name, description, turn, order: (runs) => make(runs) as Yielded })
  return {
    name: 'hostile',
    contract: contractVersion,
    schedulers: [
      order('reversed', (runs) => [...runs].reverse(), 'batch'),
      place('one-each', oneEach),
      order('thrower', (runs) => {
        if (random.chance(0.5)) throw new TypeError('oh')
        return runs
      }),
      order('rubbish', (runs) =>
        random.pick<unknown>([runs, 7, null, [{}], [runs[0], runs[0]], [...runs, 'r9'], runs]),
      ),
      place('greedy', function* (view) {
        for (const placement of oneEach(view)) {
          if (random.chance(0.3))
            yield random.chance(0.3) ? random.pick(rubbish) : wrong(random, view, placement as object)
          yield placement
        }
      }),
      order(
        'slow',
        (runs) => {
          guard.spend(random.delay(1, 30, 400))
          return runs
        },
        'batch',
      ),
      order('forgetful', () => []),
      place('wild', function* (view) {
        for (let turn = random.int(0, 6); turn > 0; turn -= 1) {
          if (random.chance(0.1)) throw new RangeError('at random')
          if (random.chance(0.1)) guard.spend(random.int(1, 300))
          const [right] = oneEach(view)
          if (random.chance(0.1)) yield random.pick(rubbish)
          else if (random.chance(0.3)) yield wrong(random, view, right as object | undefined)
          else if (right) yield right
        }
      }),
      place('idle', () => []),
    ],
  }
}
