/**
 * One simulation: a plan carried out from beginning to end. First clients ask and faults strike; then
 * everything is mended, but for what the plan leaves broken, and the cluster must come to rest within
 * a bound: one stable leader, every run finished, every report acknowledged, nothing held, everybody
 * in step. The same plan gives the same simulation, to the last event.
 */
import { Cluster } from './cluster.ts'
import type { Counters } from './counters.ts'
import { lazySchedulers } from './hostile-schedulers.ts'
import { strike } from './faults.ts'
import type { Order, Plan } from './plan.ts'
import { none, type Sabotage } from './sabotage.ts'
import type { SimCoordinator } from './sim-coordinator.ts'
import { hashText } from './random.ts'
import { stateText } from './state-hash.ts'
import type { Violation } from './violations.ts'

export type Outcome = {
  readonly plan: Plan
  readonly violation: Violation | undefined
  /** Equal for equal simulations. */
  readonly hash: string
  readonly events: number
  readonly virtualMs: number
  readonly entries: number
  readonly epochs: number
  readonly counters: Counters
  readonly trace: readonly string[]
}

/** From mending everything to rest, at most. */
const restWithinMs = 60_000
/** How long it must then stay as it is. */
const quietMs = 2500
/** A leader that was chosen before this, and after the mending, may still be replaced. */
const unrestMs = 4000
const lookEveryMs = 250

export function simulate(plan: Plan, sabotage: Sabotage = none, traced = false, traceLines = 400): Outcome {
  const cluster = new Cluster(plan, sabotage, traced)
  const { timeline, checker } = cluster
  const { violations } = checker
  const failed = (): boolean => violations.first !== undefined
  schedule(cluster, plan)
  timeline.run(plan.mendedAtMs, failed)
  if (!failed()) settle(cluster, plan, failed)
  cluster.count.reached('seeds')
  const { ledger } = checker
  const end = stateText(checker.shadow.state)
  return {
    plan,
    violation: violations.first,
    hash: `${timeline.hash.toString(16).padStart(8, '0')}${hashText(end).toString(16).padStart(8, '0')}`,
    events: timeline.events,
    virtualMs: timeline.nowMs,
    entries: ledger.position,
    epochs: ledger.terms.size,
    counters: cluster.count,
    trace: cluster.trace.last(traceLines),
  }
}

function schedule(cluster: Cluster, plan: Plan): void {
  const { timeline, trace } = cluster
  for (const order of plan.orders) timeline.after(order.atMs, () => cluster.client(order.client)?.do(order))
  for (const fault of [...plan.faults, ...plan.remains]) {
    timeline.after(fault.atMs, () => {
      trace.note('----', () => JSON.stringify(fault))
      const mend = strike(cluster, fault)
      const untilMs = plan.remains.includes(fault) ? Infinity : Math.min(fault.atMs + fault.forMs, plan.mendedAtMs)
      if (untilMs === Infinity) return
      timeline.after(untilMs - fault.atMs, () => {
        trace.note('----', () => `mended: ${fault.type}`)
        mend()
      })
    })
  }
}

/** What the plan leaves broken: they are asked nothing, and nothing is expected of them. */
function brokenHosts(plan: Plan): Set<string> {
  const broken = new Set<string>()
  for (const fault of plan.remains) {
    // Who can't reach the log is out; two that can't hear each other have others to turn to.
    if (fault.type === 'cut') {
      if (fault.who === 'log') broken.add(fault.to)
      if (fault.to === 'log') broken.add(fault.who)
    } else if ('who' in fault && fault.type !== 'delay' && fault.type !== 'lost-hint') broken.add(fault.who)
  }
  return broken
}

function settle(cluster: Cluster, plan: Plan, failed: () => boolean): void {
  const { timeline, trace, checker } = cluster
  trace.note('----', () => 'everything is mended')
  cluster.recall()
  const broken = brokenHosts(plan)
  const lastMs = timeline.nowMs + restWithinMs
  const mendedMs = timeline.nowMs
  let nudgedMs = -Infinity
  let epoch = 0
  for (;;) {
    timeline.run(timeline.nowMs + lookEveryMs, failed)
    if (failed()) return
    if (timeline.nowMs - nudgedMs > 1500) {
      nudgedMs = timeline.nowMs
      nudge(cluster)
    }
    if (timeline.nowMs - mendedMs <= unrestMs) epoch = cluster.store.epoch
    else if (cluster.store.epoch !== epoch) {
      const words = `epoch ${epoch} was followed by ${cluster.store.epoch} ${Math.round(timeline.nowMs - mendedMs)} ms after everything was mended`
      return checker.violations.found('no change of leader without a fault', words)
    }
    const unrest = whatIsLeft(cluster, broken)
    if (unrest === undefined) break
    if (timeline.nowMs >= lastMs) {
      return checker.violations.found('the cluster comes to rest', `after ${restWithinMs} ms: ${unrest}`)
    }
  }
  const { epoch: epochAtRest, lastPosition } = cluster.store
  timeline.run(timeline.nowMs + quietMs, failed)
  if (failed()) return
  if (cluster.store.epoch !== epochAtRest && timeline.nowMs - mendedMs > unrestMs + quietMs) {
    const words = `epoch ${epochAtRest} was followed by ${cluster.store.epoch}`
    return checker.violations.found('no change of leader without a fault', words)
  }
  if (cluster.store.lastPosition > lastPosition + 3) cluster.count.reached('entries at rest')
  // An entry may have been written this instant, and not be known to everybody yet.
  for (let looks = 0; looks < 8 && whatIsLeft(cluster, broken) !== undefined; looks += 1) {
    timeline.run(timeline.nowMs + lookEveryMs, failed)
  }
  const again = whatIsLeft(cluster, broken)
  if (again !== undefined) checker.violations.found('rest stays', again)
  compareAtRest(cluster, broken)
}

/** Whoever paused a run, left it open or chose a lazy scheduler comes back; so do workers that were drained. */
function nudge(cluster: Cluster): void {
  cluster.recall()
  for (const run of cluster.checker.ledger.runs.values()) {
    if (run.finishedAt !== undefined) continue
    const orders: Order[] = []
    if (run.paused && !run.cancelled) orders.push({ type: 'resume', run: run.id, client: 1, atMs: 0 })
    if (run.open) orders.push({ type: 'seal', run: run.id, client: 1, atMs: 0 })
    for (const order of orders) cluster.client(1).do(order)
  }
  for (const [project, { strategy }] of cluster.checker.shadow.state.schedulers) {
    if (!lazySchedulers.includes(strategy)) continue
    const order: Order = { type: 'choose', strategy: 'fifo', run: '', client: 1, atMs: 0 }
    cluster.client(1).do(project === '' ? order : { ...order, project })
  }
}

/** What keeps the cluster from rest; undefined when nothing does. */
function whatIsLeft(cluster: Cluster, broken: ReadonlySet<string>): string | undefined {
  const { checker, physical, store } = cluster
  const { ledger } = checker
  for (const client of cluster.clients()) {
    for (const run of client.open) return `the submission of ${run} is not answered`
  }
  for (const run of ledger.runs.values()) {
    if (run.finishedAt === undefined)
      return `${run.id} is not finished: ${run.tasks.map((task) => task.state).join(' ')}`
  }
  for (const worker of cluster.workers()) {
    if (broken.has(worker.process.host.name)) continue
    if (!worker.protocol.isWelcomed) return `${worker.id} has no coordinator`
    if (worker.outbox.size > 0) return `${worker.id} has ${worker.outbox.size} reports that nobody acknowledged`
    if (worker.protocol.held.length > 0)
      return `${worker.id} holds ${worker.protocol.held.map((held) => held.batch).join(' ')}`
    if (worker.executor.jobs.size > 0) return `${worker.id} runs ${[...worker.executor.jobs.keys()].join(' ')}`
  }
  const [left] = physical.leftOver().filter((words) => !broken.has(words.split(' on ')[1]!.split('.')[0]!))
  if (left !== undefined) return `${left} runs on after its end`
  for (const worker of ledger.workers.values()) {
    if (worker.cpusUsed > 0) return `${worker.cpusUsed} CPUs of ${worker.id} are reserved`
    const there = cluster.workers().some((one) => one.id === worker.id)
    if (!there) return `${worker.id} is gone, and the log has it`
  }
  const leaders = cluster.coordinators().filter((one) => one.seat.role === 'leading' && !broken.has(one.name))
  if (leaders.length !== 1) return `${leaders.length} coordinators lead`
  if (leaders[0]!.seat.epoch !== store.epoch)
    return `${leaders[0]!.name} leads epoch ${leaders[0]!.seat.epoch} of ${store.epoch}`
  for (const one of cluster.coordinators()) {
    if (broken.has(one.name)) continue
    const { role, position } = one.seat
    if (role !== 'leading' && role !== 'following') return `${one.name} is ${role}`
    if (position < store.lastPosition) return `${one.name} is at ${position} of ${store.lastPosition}`
  }
  return undefined
}

function compareAtRest(cluster: Cluster, broken: ReadonlySet<string>): void {
  const expected = stateText(cluster.checker.shadow.state)
  const check = (one: SimCoordinator): void => {
    if (one.seat.position !== cluster.checker.ledger.position || stateText(one.seat.state) === expected) return
    cluster.checker.violations.found('equal positions, equal states', `${one.name} at rest`)
  }
  for (const one of cluster.coordinators())
    if (!broken.has(one.name)) one.process.enter(() => one.seat.between(() => check(one)))
}
