/**
 * Asks the strategies that were chosen for placements, whoever they are from, on behalf of the leader. One strategy for all
 * is asked directly; several share a round: the one whose projects hold least of the fleet against their weights goes first,
 * for a part of what is free, and so on, and what one waits for is kept from those after it. All of that follows from state.
 *
 * A strategy that does something wrong is not asked again in that round; the default places instead, so that work goes on.
 * Who does too much of it is suspended until somebody chooses it again. Faults go to the log, by way of `takeFaults`;
 * counts are this coordinator's own.
 */
import type { Event } from '../core/events.ts'
import { schedulerOf } from '../core/scheduler.ts'
import { ruleOfScope } from '../core/shares.ts'
import type { FaultScheduler } from '../core/input.ts'
import type { ChosenScheduler, Run, SchedulerFaults, State } from '../core/state.ts'
import type { Placement, StrategyView } from '../scheduling/ordering.ts'
import { Reservations } from '../scheduling/reservations.ts'
import { totalsOf } from '../scheduling/share.ts'
import type { Scheduler, Strategy } from '../scheduling/strategy.ts'
import { defaultFaultLimits, Faults, type FaultKind, type FaultLimits } from './faults.ts'
import { threadGuard, type Guard } from './guard.ts'
import { Budget, callsOften, orderGuarded, placeGuarded, StrategyFault, type LastOrder } from './guarded-scheduler.ts'
import { askMetrics, type OwnMetrics } from './own-metrics.ts'
import type { Registered, Registry } from './registry.ts'
import { removeStain } from './stain.ts'

export type HostOptions = {
  readonly registry: Registry
  readonly faults?: FaultLimits
  /** Time that a plugin's strategy has in one round, in milliseconds. */
  readonly roundMs?: number
  /** Default: this thread's. */
  readonly guard?: Guard
  readonly say?: (level: 'info' | 'warn' | 'error', message: string, detail: Record<string, unknown>) => void
  readonly onRound?: (strategy: string, ms: number) => void
  readonly onFault?: (strategy: string, kind: FaultKind) => void
}

/** What a strategy did since this coordinator began. */
export type Counts = {
  /** Times it was asked. */
  rounds: number
  placements: number
  refused: number
  faults: number
  /** In its own code. */
  totalMs: number
  longestMs: number
}

const defaultRoundMs = 200
/** What a plugin's order may take when a person asks, and for how long nobody asks again when it did not answer. */
const askedMs = 50
const silentMs = 10_000
/** The key of the choice for everybody. */
const forAll = ''

/** What a choice comes to; once per choice. */
type Prepared = { readonly key: string; readonly use: Registered; readonly config: unknown; readonly trouble?: string }

/** The projects that one strategy with one configuration places in this round. */
type Part = {
  readonly key: string
  use: Registered
  config: unknown
  readonly projects: Set<string>
}

type Asking = {
  readonly part: Part
  readonly name: string
  /** Of a plugin. */
  readonly budget: Budget | undefined
  /** Why its last placement was turned down. */
  refused: string | undefined
  /** Whether it is timed here, and what it took; `sinceMs` is undefined while what it returned is with the leader. */
  readonly isTimed: boolean
  ms: number
  sinceMs: number | undefined
}

export class SchedulerHost implements Scheduler {
  readonly registry: Registry
  readonly #options: HostOptions
  readonly #roundMs: number
  readonly #guard: Guard
  readonly #faults: Faults
  readonly #counts = new Map<string, Counts>()
  readonly #prepared = new WeakMap<ChosenScheduler, Prepared>()
  readonly #default: Prepared
  /** By what was chosen, the order that a plugin gave last. */
  readonly #orders = new Map<string, LastOrder>()
  /** Plugins' strategies that could not say in which order they serve runs, and until when they aren't asked. */
  readonly #silentUntilMs = new Map<string, number>()
  /** Those that could not say what they count, and until when they aren't asked. */
  readonly #metricless = new Map<string, { readonly untilMs: number; readonly why: string }>()
  /** Who is asked at the moment. */
  #asking: Asking | undefined

  constructor(options: HostOptions) {
    this.#options = options
    this.registry = options.registry
    this.#roundMs = options.roundMs ?? defaultRoundMs
    this.#guard = options.guard ?? threadGuard
    this.#faults = new Faults(options.faults ?? defaultFaultLimits)
    for (const name of this.registry.names)
      this.#counts.set(name, { rounds: 0, placements: 0, refused: 0, faults: 0, totalMs: 0, longestMs: 0 })
    this.#default = this.#prepare({ strategy: this.registry.default.name })
  }

  // ---- placing ----

  *place(view: StrategyView): Generator<Placement, undefined> {
    const { state } = view
    if (state.queuedCount > 0 && state.free.size > 0) yield* this.#round(this.#parts(state), view)
  }

  /**
   * The same, for who needs no generator: `take` gets one after the other until it returns false. Plugins that are called
   * for every placement, or batch, cost less so; one that hangs takes all between here and there with it.
   */
  placeAll(view: StrategyView, take: (placement: Placement) => boolean): void {
    const { state } = view
    if (state.queuedCount === 0 || state.free.size === 0) return
    const parts = this.#parts(state)
    const all = () => {
      for (const placement of this.#round(parts, view)) if (!take(placement)) return
    }
    const { section } = this.#guard
    if (section === undefined) return all()
    while (parts.some(({ use: { code } }) => code.type === 'plugin' && callsOften(code.scheduler, state))) {
      this.#asking = undefined
      if (section(all)) return
      this.#endedIn(this.#asking, view)
    }
    all()
  }

  #endedIn(asking: Asking | undefined, view: StrategyView): void {
    removeStain()
    if (asking?.budget === undefined) throw new Error('a plugin was ended that was not asked')
    this.#told(view, asking, asking.budget.hung())
    this.#replace(asking.part)
  }

  *#round(parts: readonly Part[], view: StrategyView): Generator<Placement, undefined> {
    if (parts.length === 1) yield* this.#turn(parts[0]!, view, Infinity)
    else if (parts.length > 1) yield* this.#several(parts, view)
  }

  refused(_placement: Placement, why: string): void {
    const asking = this.#asking
    if (asking === undefined) return
    asking.refused = why
    this.#counts.get(asking.name)!.refused += 1
  }

  *#several(parts: readonly Part[], view: StrategyView): Generator<Placement, undefined> {
    const { state } = view
    const left = new Set(parts)
    let kept: Reservations | undefined
    while (left.size > 0 && state.free.size > 0) {
      const part = this.#neediest(state, left)
      const max = left.size === 1 ? Infinity : Math.max(1, Math.floor(state.free.size / (2 * left.size)))
      const own = new Reservations(kept)
      const mine = (run: Run) => part.projects.has(run.spec.project)
      const done = yield* this.#turn(part, { ...view, mine, kept: own }, max)
      if (!done) continue
      left.delete(part)
      kept = own
    }
  }

  #neediest(state: State, parts: Iterable<Part>): Part {
    const totals = totalsOf(state)
    let best: { readonly part: Part; readonly standing: number } | undefined
    for (const part of parts) {
      let held = 0
      let weight = 0
      for (const project of part.projects) {
        const scope = `project:${project}`
        const spent = state.spent.get(scope)
        weight += ruleOfScope(state.shares, scope)?.weight ?? 1
        if (spent) held += Math.max(spent.cpus / Math.max(1, totals.cpus), spent.gpus / Math.max(1, totals.gpus))
      }
      const standing = held / weight
      if (!best || standing < best.standing || (standing === best.standing && part.key < best.part.key))
        best = { part, standing }
    }
    return best!.part
  }

  /** Up to `max` placements of one part; true: there are no more. */
  *#turn(part: Part, view: StrategyView, max: number): Generator<Placement, boolean> {
    const before = view.state.lastToken
    const fault = yield* this.#ask(part, view, max)
    if (fault === undefined) return view.state.lastToken - before < max
    if (part.use === this.#default.use) return true
    this.#replace(part)
    const left = max - (view.state.lastToken - before)
    if (left > 0) yield* this.#ask(part, view, left)
    return view.state.lastToken - before < max
  }

  /** It has had its chance in this round. */
  #replace(part: Part): void {
    part.use = this.#default.use
    part.config = this.#default.config
  }

  /** Undefined: all went well. */
  *#ask(part: Part, view: StrategyView, max: number): Generator<Placement, StrategyFault | undefined> {
    const { name, code } = part.use
    const budget = code.type === 'built-in' ? undefined : new Budget(this.#guard, this.#roundMs)
    // Of a plugin that does all itself the budget knows what it took; clocks are read no more often than for others.
    const isTimed = code.type === 'built-in' || 'order' in code.scheduler
    const sinceMs = isTimed ? this.#guard.nowMs() : undefined
    const asking: Asking = { part, name, budget, refused: undefined, ms: 0, sinceMs, isTimed }
    this.#asking = asking
    const counts = this.#counts.get(name)!
    let fault: StrategyFault | undefined
    try {
      const given =
        code.type === 'built-in'
          ? code.strategy.place(view, part.config)
          : placeGuarded(code.scheduler, view, part.config, budget!, this.#lastOrder(part.key))
      const iterator = given[Symbol.iterator]()
      for (let placed = 0; placed < max; placed += 1) {
        const next = iterator.next()
        if (isTimed) {
          asking.ms += this.#guard.nowMs() - asking.sinceMs!
          asking.sinceMs = undefined
        }
        if (next.done) return undefined
        counts.placements += 1
        yield next.value
        if (asking.refused !== undefined) {
          counts.placements -= 1
          return (fault = new StrategyFault('refused', refusedWords(next.value, asking.refused)))
        }
        if (isTimed) asking.sinceMs = this.#guard.nowMs()
      }
      return undefined
    } catch (error) {
      if (!(error instanceof StrategyFault)) {
        // There is nothing to fall back to, and it is a bug of ours.
        if (part.use === this.#default.use) throw error
        fault = new StrategyFault('threw', error instanceof Error ? `${error.name}: ${error.message}` : String(error))
      } else fault = error
      return fault
    } finally {
      if (asking.refused !== undefined) fault ??= new StrategyFault('refused', asking.refused)
      this.#asking = undefined
      this.#told(view, asking, fault)
    }
  }

  /** What came of asking: time, counts, and what it did wrong. */
  #told(view: StrategyView, asking: Asking, fault: StrategyFault | undefined): void {
    const { name, ms, sinceMs, isTimed, budget } = asking
    const counts = this.#counts.get(name)!
    // It threw, or was ended: that took its time, too.
    const timedMs = sinceMs === undefined ? ms : ms + this.#guard.nowMs() - sinceMs
    const allMs = Math.max(isTimed ? timedMs : 0, budget?.spentMs ?? 0)
    counts.rounds += 1
    counts.totalMs += allMs
    if (allMs > counts.longestMs) counts.longestMs = allMs
    this.#options.onRound?.(name, allMs)
    if (fault) this.#fault(view, name, fault)
  }

  /** It only saves asking again: who has none asks. */
  #lastOrder(key: string): LastOrder {
    let last = this.#orders.get(key)
    if (last === undefined) {
      last = { atMs: -Infinity, places: new Map() }
      this.#orders.set(key, last)
    }
    return last
  }

  // ---- who places what ----

  #parts(state: State): readonly Part[] {
    const { schedulers } = state
    if (schedulers.size === 0) return [this.#part(this.#default)]
    const common = this.#use(state, schedulers.get(forAll))
    if (schedulers.size === 1 && schedulers.has(forAll)) return [this.#part(common)]
    const parts = new Map<string, Part>()
    for (const id of state.active) {
      const run = state.runs.get(id)!
      if (run.queuedCount === 0) continue
      const { project } = run.spec
      const own = schedulers.get(project)
      const prepared = own === undefined ? common : this.#use(state, own)
      let part = parts.get(prepared.key)
      if (!part) {
        part = this.#part(prepared)
        parts.set(prepared.key, part)
      }
      part.projects.add(project)
    }
    return [...parts.values()]
  }

  #part({ key, use, config }: Prepared): Part {
    return { key, use, config, projects: new Set() }
  }

  /** The default where nothing was chosen, or what was chosen can't be had. */
  #use(state: State, chosen: ChosenScheduler | undefined): Prepared {
    if (chosen === undefined) return this.#default
    const prepared = this.#prepare(chosen)
    return this.#faults.isSuspended(state, prepared.use.name) ? this.#default : prepared
  }

  #prepare(chosen: ChosenScheduler): Prepared {
    let prepared = this.#prepared.get(chosen)
    if (prepared === undefined) {
      prepared = this.#resolve(chosen)
      this.#prepared.set(chosen, prepared)
    }
    return prepared
  }

  #resolve({ strategy, config }: ChosenScheduler): Prepared {
    const use = this.registry.get(strategy)
    if (use === undefined)
      return { ...this.#default, trouble: `this coordinator has no plugin with a scheduler '${strategy}'` }
    const checked = use.check(config)
    if ('fault' in checked)
      return { ...this.#default, trouble: `scheduler '${strategy}' can't be used as configured: ${checked.fault}` }
    return { key: `${strategy} ${JSON.stringify(checked.config)}`, use, config: checked.config }
  }

  // ---- faults ----

  #fault({ state, nowMs: atMs }: StrategyView, name: string, { kind, message: why }: StrategyFault): void {
    this.#counts.get(name)!.faults += 1
    const other = this.#default.use.name
    const suspended = this.#faults.note(state, name, { kind, why, atMs }, name !== other)
    this.#options.onFault?.(name, kind)
    this.#options.say?.('warn', `scheduler '${name}' is at fault; '${other}' placed instead`, { kind, why })
    if (!suspended) return
    this.#options.say?.('error', `scheduler '${name}' is suspended; '${other}' places until it is chosen again`, {
      why,
    })
  }

  /** For the log: what strategies did wrong since this was asked last. */
  takeFaults(): readonly FaultScheduler[] {
    return this.#faults.take()
  }

  faultsOf(state: State, name: string, nowMs: number): SchedulerFaults {
    return this.#faults.of(state, name, nowMs)
  }

  countsOf(name: string): Readonly<Counts> {
    return this.#counts.get(name)!
  }

  /** To be called with every durable entry: an order that was given under another choice is none. */
  committed(events: readonly Event[]): void {
    if (events.some((event) => event.type === 'scheduler.chosen')) this.#orders.clear()
  }

  // ---- for people ----

  /** What places for a choice now, and why not what was chosen. */
  inEffect(
    state: State,
    chosen: ChosenScheduler | undefined,
  ): {
    readonly name: string
    readonly config: unknown
    readonly why?: string
  } {
    const { use, config } = this.#use(state, chosen)
    if (chosen === undefined) return { name: use.name, config }
    const { trouble } = this.#prepare(chosen)
    const suspended = this.#faults.isSuspended(state, chosen.strategy) && use.name !== chosen.strategy
    const why = trouble ?? (suspended ? `scheduler '${chosen.strategy}' is suspended after too many faults` : undefined)
    return { name: use.name, config, ...(why === undefined ? {} : { why }) }
  }

  /**
   * For `muster why`: what places for a choice, and the order in which it serves runs, as far as it has one. A plugin's
   * code is asked under guard and has little time for all that one question needs; one that fails is not asked for a while.
   */
  explained(state: State, chosen: ChosenScheduler | undefined): Strategy {
    const { name } = this.inEffect(state, chosen)
    const { code, description } = this.registry.get(name)!
    if (code.type === 'built-in') return code.strategy
    const silent = { name, description, place: () => [] }
    const { scheduler } = code
    if (!('order' in scheduler)) return silent
    let leftMs = askedMs
    const order = (view: StrategyView, config: unknown): readonly Run[] | undefined => {
      if (leftMs <= 0 || view.nowMs < (this.#silentUntilMs.get(name) ?? 0)) return undefined
      const sinceMs = this.#guard.nowMs()
      try {
        return orderGuarded(scheduler, view, config, this.#guard, leftMs)
      } catch (error) {
        if (!(error instanceof StrategyFault)) throw error
        this.#silentUntilMs.set(name, view.nowMs + silentMs)
        this.#options.say?.('warn', `scheduler '${name}' did not say in which order it serves runs`, {
          why: error.message,
        })
        return undefined
      } finally {
        leftMs -= this.#guard.nowMs() - sinceMs
      }
    }
    return { ...silent, order, alone: scheduler.rank !== undefined }
  }

  /**
   * What a plugin's scheduler says of itself, with the configuration of the first choice that it is in effect for. Undefined:
   * it says nothing, or places nothing. It is asked under guard; one that fails is not asked for a while.
   */
  metricsOf(view: StrategyView, name: string): OwnMetrics | undefined {
    const { code } = this.registry.get(name)!
    if (code.type === 'built-in' || code.scheduler.metrics === undefined) return undefined
    const { state, nowMs } = view
    const used = [...state.schedulers.values()]
      .map((chosen) => this.#use(state, chosen))
      .find(({ use }) => use.name === name)
    if (used === undefined) return undefined
    const before = this.#metricless.get(name)
    if (before !== undefined && nowMs < before.untilMs) return { why: before.why }
    const mine = (run: Run) => this.#use(state, schedulerOf(state, run.spec.project)).use.name === name
    try {
      const budget = new Budget(this.#guard, askedMs)
      return { values: askMetrics(code.scheduler, { ...view, mine }, used.config, budget)! }
    } catch (error) {
      if (!(error instanceof StrategyFault)) throw error
      const why = error.message
      this.#metricless.set(name, { untilMs: nowMs + silentMs, why })
      this.#options.say?.('warn', `scheduler '${name}' did not say what it counts`, { why })
      return { why }
    }
  }

  /** Why a choice can't be taken; undefined = it can. */
  faultOf({ strategy, config }: ChosenScheduler): { readonly unknown: boolean; readonly why: string } | undefined {
    const known = this.registry.get(strategy)
    if (known === undefined)
      return { unknown: true, why: `no scheduler '${strategy}'; expected one of ${this.registry.names.join(', ')}` }
    const checked = known.check(config)
    return 'fault' in checked ? { unknown: false, why: `scheduler '${strategy}': ${checked.fault}` } : undefined
  }

  problems(state: State, nowMs: number): readonly string[] {
    const problems: string[] = []
    const other = this.#default.use.name
    for (const [project, chosen] of state.schedulers) {
      const { trouble } = this.#prepare(chosen)
      const whose = project === forAll ? '' : ` of project ${project}`
      if (trouble !== undefined) problems.push(`scheduler${whose}: ${trouble}; '${other}' places instead`)
    }
    for (const name of this.registry.names) {
      const { recent, suspended } = this.#faults.of(state, name, nowMs)
      const last = recent.at(-1)
      if (last === undefined) continue
      const faults = recent.length === 1 ? 'a fault' : `${recent.length} faults, last`
      const words = `scheduler '${name}': ${faults}: ${last.why}`
      const rest = suspended
        ? `; '${other}' places instead until somebody chooses it again: muster scheduler use ${name}`
        : ''
      problems.push(`${words}${rest}`)
    }
    return problems
  }
}

function refusedWords({ run, worker }: Placement, why: string): string {
  return `run ${run} on worker ${worker} would have broken a rule: ${why}`
}
