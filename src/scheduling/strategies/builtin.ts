/** The strategies that come with Muster; `history` is used unless something else is asked for. */
import { aptitudeOf } from '../../core/aptitude.ts'
import type { Run } from '../../core/state.ts'
import { speedOf } from '../fleet.ts'
import type { Ordering } from '../ordering.ts'
import type { InTurn, KeyedOrder } from '../run-order.ts'
import { orderedStrategy, type Strategy } from '../strategy.ts'
import { ageingMsPerPoint, priorityKey, urgencyKey } from '../urgency.ts'

/** A run without a deadline is taken to have one an hour after it came, sooner or later by its priority in minutes. */
const patienceMs = 60 * ageingMsPerPoint

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

/** Who has waited longer than this for a batch moves ahead: by the whole fleet's worth for each hour, minute by minute. */
const fairWaitMs = 10 * 60_000
const minuteMs = 60_000
/** A whole fleet in whole parts, so that what is compared is exact: a minute of waiting is worth a sixtieth of it. */
const fleetParts = 3_600_000_000
const partsPerMinute = fleetParts / 60

/** Without this, a project that holds something would wait for as long as others come that hold nothing. */
function minutesAhead(sinceMs: number, nowMs: number): number {
  return Math.max(0, Math.floor((nowMs - sinceMs - fairWaitMs) / minuteMs))
}

export const byShareInTurn: KeyedOrder & { readonly inTurn: InTurn } = {
  key: priorityKey,
  inTurn: {
    isAhead: (sinceMs, nowMs) => minutesAhead(sinceMs, nowMs) > 0,
    rank: ([dominant, spentMs], sinceMs, nowMs) => {
      const minutes = minutesAhead(sinceMs, nowMs)
      return {
        first: Math.round(dominant * fleetParts) - minutes * partsPerMinute,
        second: spentMs,
        third: minutes > 0 ? sinceMs : Number.MAX_SAFE_INTEGER,
        changesAtMs: sinceMs + fairWaitMs + (minutes + 1) * minuteMs,
      }
    },
  },
}

/** What tells them from each other, by name. */
export const builtinOrderings = {
  fifo: { turn: 'run', keyed: { key: (run) => -run.createdAtMs } },
  priority: { turn: 'run', keyed: { key: priorityKey } },
  /**
   * Since every run has a deadline, its own or the one that its priority gives it, and later runs have later ones, none
   * waits for ever behind those that come after it.
   */
  deadline: { turn: 'run', keyed: { key: (run) => -latestMs(run) } },
  history: { turn: 'run', keyed: byUrgencyAndShare },
  'fair-share': { turn: 'batch', keyed: byShareInTurn },
  learned: {
    turn: 'run',
    keyed: byUrgencyAndShare,
    speed: (view) => (run, worker) => speedOf(worker) * aptitudeOf(view.state, run, worker),
  },
} as const satisfies Record<string, Ordering>

function strategyOf(name: keyof typeof builtinOrderings, description: string): Strategy {
  return orderedStrategy(name, description, builtinOrderings[name])
}

export const fifo = strategyOf('fifo', 'in the order in which runs came')

export const priority = strategyOf('priority', 'by priority, which grows with waiting')

export const deadline = strategyOf(
  'deadline',
  'earliest deadline first; without one, an hour after submission, sooner by priority',
)

export const history = strategyOf(
  'history',
  'by urgency (priority, waiting, deadline) and share, sized by measured durations',
)

/** What is idle may be borrowed by anybody. */
export const fairShare = strategyOf(
  'fair-share',
  'one batch at a time to the project and user furthest below their share',
)

/** Like `history`, with what each machine has shown to be worth for each suite in place of its speed alone. */
export const learned = strategyOf('learned', 'as history, and suites go to the machines that have done best with them')

export const builtinStrategies: readonly Strategy[] = [history, fifo, priority, deadline, fairShare, learned]
export const defaultStrategy: Strategy = builtinStrategies[0]!
