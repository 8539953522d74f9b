/** The strategies that come with Muster; `history` is used unless something else is asked for. */
import { aptitudeOf } from '../../core/aptitude.ts'
import type { Run, State } from '../../core/state.ts'
import { speedOf, type Fleets, type View } from '../fleet.ts'
import { standingOf, totalsOf, type Standing, type Totals } from '../share.ts'
import { orderedStrategy, type Strategy } from '../strategy.ts'
import { agedPriority, ageingMsPerPoint, urgency } from '../urgency.ts'

/** Sorted by keys that are worked out once per run, larger first; then by age, then by id. */
function sortBy(runs: Run[], key: (run: Run) => number): Run[] {
  if (runs.length < 2) return runs
  const keyed = runs.map((run) => ({ run, key: key(run) }))
  keyed.sort((a, b) => b.key - a.key || older(a.run, b.run))
  return keyed.map((one) => one.run)
}

function older(a: Run, b: Run): number {
  return a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1)
}

export const fifo: Strategy = orderedStrategy('fifo', 'in the order in which runs came', {
  turn: 'run',
  sort: (_view, waiting) => waiting.sort(older),
})

export const priority: Strategy = orderedStrategy('priority', 'by priority, which grows with waiting', {
  turn: 'run',
  sort: (_view, waiting, _fleets, nowMs) => sortBy(waiting, (run) => agedPriority(run, nowMs)),
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
  { turn: 'run', sort: (_view, waiting) => sortBy(waiting, (run) => -latestMs(run)) },
)

function latestMs(run: Run): number {
  const ownMs = run.createdAtMs + patienceMs - run.priority * ageingMsPerPoint
  return Math.min(run.spec.deadlineAtMs ?? Infinity, ownMs)
}

function byUrgency(_view: View, waiting: Run[], fleets: Fleets, nowMs: number): Run[] {
  return sortBy(waiting, (run) => urgency(run, fleets, nowMs))
}

/** Urgency first; among equals, where shares are configured, whoever is furthest below its own. */
function byUrgencyAndShare(view: View, waiting: Run[], fleets: Fleets, nowMs: number): Run[] {
  const { state } = view
  if (state.shares.size === 0 || waiting.length < 2) return byUrgency(view, waiting, fleets, nowMs)
  const totals = totalsOf(state)
  const keyed = waiting.map((run) => ({
    run,
    urgency: urgency(run, fleets, nowMs),
    standing: standingOf(state, run, totals, nowMs),
  }))
  keyed.sort((a, b) => b.urgency - a.urgency || compareStandings(a.standing, b.standing) || older(a.run, b.run))
  return keyed.map((one) => one.run)
}

function compareStandings(a: Standing, b: Standing): number {
  return a[0] - b[0] || a[1] - b[1]
}

export const history: Strategy = orderedStrategy(
  'history',
  'by urgency (priority, waiting, deadline) and share, sized by measured durations',
  { turn: 'run', sort: byUrgencyAndShare },
)

/** Who has waited longer than this for a batch moves ahead: by the whole fleet's worth for each hour. */
const fairWaitMs = 10 * 60_000
const hourMs = 3_600_000

/** Without this, a project that holds something would wait for as long as others come that hold nothing. */
function agedStanding(state: State, run: Run, totals: Totals, nowMs: number): Standing {
  const [dominant, spentMs] = standingOf(state, run, totals, nowMs)
  let sinceMs = run.createdAtMs
  if (nowMs - sinceMs <= fairWaitMs) return [dominant, spentMs]
  for (const id of run.batches) sinceMs = Math.max(sinceMs, state.batches.get(id)!.assignedAtMs)
  return [dominant - Math.max(0, nowMs - sinceMs - fairWaitMs) / hourMs, spentMs]
}

/** One batch at a time goes to whoever is furthest below its share; what is idle may be borrowed by anybody. */
export const fairShare: Strategy = orderedStrategy(
  'fair-share',
  'one batch at a time to the project and user furthest below their share',
  {
    turn: 'batch',
    sort: (view, waiting, _fleets, nowMs) => {
      const { state } = view
      const totals = totalsOf(state)
      const keyed = waiting.map((run) => ({
        run,
        standing: agedStanding(state, run, totals, nowMs),
        priority: agedPriority(run, nowMs),
      }))
      keyed.sort((a, b) => compareStandings(a.standing, b.standing) || b.priority - a.priority || older(a.run, b.run))
      return keyed.map((one) => one.run)
    },
  },
)

/** Like `history`, with what each machine has shown to be worth for each suite in place of its speed alone. */
export const learned: Strategy = orderedStrategy(
  'learned',
  'as history, and suites go to the machines that have done best with them',
  {
    turn: 'run',
    sort: byUrgencyAndShare,
    speed: (view) => (run, worker) => speedOf(worker) * aptitudeOf(view.state, run, worker),
  },
)

export const builtinStrategies: readonly Strategy[] = [history, fifo, priority, deadline, fairShare, learned]
export const defaultStrategy: Strategy = builtinStrategies[0]!
