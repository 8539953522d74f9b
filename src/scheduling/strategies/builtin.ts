/** The strategies that come with Muster; `history` is used unless something else is asked for. */
import { aptitudeOf } from '../../core/aptitude.ts'
import type { Run, State } from '../../core/state.ts'
import { speedOf } from '../fleet.ts'
import type { KeyedOrder } from '../run-order.ts'
import { orderedStrategy, type Strategy } from '../strategy.ts'
import { ageingMsPerPoint, priorityKey, urgencyKey } from '../urgency.ts'

export const fifo: Strategy = orderedStrategy('fifo', 'in the order in which runs came', {
  turn: 'run',
  keyed: { key: (run) => -run.createdAtMs },
})

export const priority: Strategy = orderedStrategy('priority', 'by priority, which grows with waiting', {
  turn: 'run',
  keyed: { key: priorityKey },
})

/** A run without a deadline is taken to have one an hour after it came, sooner or later by its priority in minutes. */
const patienceMs = 60 * ageingMsPerPoint

/**
 * Earliest deadline first. Since every run has one, its own or the one that its priority gives it, and later runs have
 * later ones, none waits for ever behind those that come after it.
 */
export const deadline: Strategy = orderedStrategy(
  'deadline',
  'earliest deadline first; without one, an hour after submission, sooner by priority',
  { turn: 'run', keyed: { key: (run) => -latestMs(run) } },
)

function latestMs(run: Run): number {
  const ownMs = run.createdAtMs + patienceMs - run.priority * ageingMsPerPoint
  return Math.min(run.spec.deadlineAtMs ?? Infinity, ownMs)
}

/** Urgency first; among equals to the minute, where shares are configured, whoever is furthest below its own. */
export const byUrgencyAndShare: KeyedOrder = {
  key: priorityKey,
  moving: { is: (run) => run.spec.deadlineAtMs !== undefined, key: urgencyKey },
  shareStep: ageingMsPerPoint,
}

export const history: Strategy = orderedStrategy(
  'history',
  'by urgency (priority, waiting, deadline) and share, sized by measured durations',
  { turn: 'run', keyed: byUrgencyAndShare },
)

/** Who has waited longer than this for a batch moves ahead: by the whole fleet's worth for each hour. */
const fairWaitMs = 10 * 60_000
const hourMs = 3_600_000

/** Without this, a project that holds something would wait for as long as others come that hold nothing. */
function waitingCredit(state: State, run: Run, nowMs: number): number {
  let sinceMs = run.createdAtMs
  if (nowMs - sinceMs <= fairWaitMs) return 0
  for (const id of run.batches) sinceMs = Math.max(sinceMs, state.batches.get(id)!.assignedAtMs)
  return Math.max(0, nowMs - sinceMs - fairWaitMs) / hourMs
}

/** One batch at a time goes to whoever is furthest below its share; what is idle may be borrowed by anybody. */
export const fairShare: Strategy = orderedStrategy(
  'fair-share',
  'one batch at a time to the project and user furthest below their share',
  { turn: 'batch', fair: { credit: waitingCredit, key: priorityKey } },
)

/** Like `history`, with what each machine has shown to be worth for each suite in place of its speed alone. */
export const learned: Strategy = orderedStrategy(
  'learned',
  'as history, and suites go to the machines that have done best with them',
  {
    turn: 'run',
    keyed: byUrgencyAndShare,
    speed: (view) => (run, worker) => speedOf(worker) * aptitudeOf(view.state, run, worker),
  },
)

export const builtinStrategies: readonly Strategy[] = [history, fifo, priority, deadline, fairShare, learned]
export const defaultStrategy: Strategy = builtinStrategies[0]!
