/**
 * Which recovery level the next attempt of a task gets. Five of them, least first: again with others,
 * alone in a process of its own, on another worker, after its worker has been recycled, and not at all.
 *
 * Each open level is a bet: what an attempt costs there, divided by how likely it works, is what one
 * success costs if one keeps trying; the smallest wins (the index rule for trying boxes in order, Weitzman
 * 1979). Likelihood is a Beta mean: `priorWeight` tries at the level's prior, plus what was measured for
 * this kind of failure; cost likewise. What one task has shown weighs more than what others have: each
 * attempt that failed at a level quarters its odds for that task. A task never returns to a lower level
 * than it has had. The last level, isolate, is not chosen here: it is what remains when the retry policy
 * allows no further attempt.
 *
 * A process that dies or hangs takes others with it, so those never go back among others; where no process
 * could be started, being alone changes nothing.
 */
import type { RecoveryLevel, RetryCause, TaskIndex, Usage } from './entities.ts'
import type { Recovery } from './events.ts'
import { anotherFits } from './fit.ts'
import { countsOf, kindOf, recoveryLevels, type KindTable, type LevelCounts } from './recovery-table.ts'
import { expectedMs, type Batch, type Run, type State, type Task } from './state.ts'

/** Chance that an attempt at this level works when nothing is known; absent = not for this cause. */
const priors: Readonly<Record<RetryCause, { readonly [L in RecoveryLevel]?: number }>> = {
  failed: { 'in-place': 0.5, 'fresh-process': 0.5, 'other-worker': 0.5, 'recycle-worker': 0.1 },
  'timed-out': { 'fresh-process': 0.5, 'other-worker': 0.55, 'recycle-worker': 0.6 },
  lost: { 'in-place': 0.7, 'fresh-process': 0.7, 'other-worker': 0.75, 'recycle-worker': 0.75 },
  crashed: { 'fresh-process': 0.5, 'other-worker': 0.55, 'recycle-worker': 0.6 },
  infrastructure: { 'in-place': 0.4, 'other-worker': 0.8, 'recycle-worker': 0.9 },
}
const priorWeight = 4
/** What one more failure at its level leaves of a task's odds there. */
const repeatedOdds = 0.25
/** An attempt costs at least this much, however short the file. */
const leastMs = 100
/** Going elsewhere costs this much more: caches are cold there. */
const elsewhereMs = 500
/** A worker that is being recycled does nothing else meanwhile. */
const recycleMs = 10_000

/** `level` is absent when the task has been at the highest that is open; `why` for the plainest choice, when nothing was measured. */
export type Choice = { readonly level: RecoveryLevel | undefined; readonly why: string | undefined }

/** Where the attempt that did not count ran, and whether the policy wants the next one elsewhere. */
export type Origin = { readonly worker: string; readonly elsewhere: boolean }

export function chooseLevel(
  state: State,
  run: Run,
  task: Task,
  cause: RetryCause,
  origin: Origin,
  nowMs: number,
): Choice {
  const { framework } = run.spec
  let best: Bet | undefined
  const bets: Bet[] = []
  for (const level of openLevels(state, run, task, cause, origin, nowMs)) {
    const bet = betOn(state.recoveries, run, task, cause, level)
    bets.push(bet)
    if (!best || bet.msPerSuccess < best.msPerSuccess) best = bet
  }
  if (!best) return { level: undefined, why: 'once more: it has been at every level' }
  const { level } = best
  const plain = level === 'in-place' && bets.every((bet) => (bet.counts?.tried ?? 0) === 0)
  return { level, why: plain ? undefined : words(best, bets, framework, cause) }
}

/** From the highest that the task has had. */
function openLevels(
  state: State,
  run: Run,
  task: Task,
  cause: RetryCause,
  origin: Origin,
  nowMs: number,
): RecoveryLevel[] {
  const highest = task.again?.highest
  const from = highest === undefined ? 0 : recoveryLevels.indexOf(highest)
  return recoveryLevels.slice(from).filter((level) => {
    if (priors[cause][level] === undefined) return false
    if (level === 'in-place' || level === 'fresh-process') return !origin.elsewhere
    if (level === 'recycle-worker') return !origin.elsewhere && mayRecycle(state, origin.worker, nowMs)
    return origin.elsewhere || anotherFits(state, run, run.groups[task.kind]!, { workers: [origin.worker], untilMs: 0 })
  })
}

function mayRecycle(state: State, id: string, nowMs: number): boolean {
  const worker = state.workers.get(id)
  if (!worker || worker.draining) return false
  // Several tasks may wait for one recycling; the next one is some time away.
  if (worker.recycling !== undefined && worker.recycling.untilMs > nowMs) return true
  return worker.recycledAtMs === 0 || nowMs - worker.recycledAtMs >= state.limits.recycleEveryMs
}

type Bet = { readonly level: RecoveryLevel; readonly counts: LevelCounts | undefined; readonly msPerSuccess: number }

function betOn(table: KindTable, run: Run, task: Task, cause: RetryCause, level: RecoveryLevel): Bet {
  const counts = countsOf(table, kindOf(cause, run.spec.framework), level)
  const tried = counts?.tried ?? 0
  const total = priorWeight + tried
  const measured = (priorWeight * (priors[cause][level] ?? 0.5) + (counts?.worked ?? 0)) / total
  const odds = level === task.again?.highest ? measured * repeatedOdds ** task.again.tries : measured
  const costMs = (priorWeight * priorCostMs(run, task, cause, level) + (counts?.wallMs ?? 0)) / total
  return { level, counts, msPerSuccess: costMs / odds }
}

function priorCostMs(run: Run, task: Task, cause: RetryCause, level: RecoveryLevel): number {
  const startupMs = run.startupMs ?? run.spec.startupMs
  const knownMs = cause === 'timed-out' ? run.spec.taskTimeoutMs : expectedMs(run, task)
  const workMs = Math.max(knownMs, startupMs, leastMs)
  if (level === 'in-place') return workMs
  if (level === 'fresh-process') return startupMs + workMs
  if (level === 'other-worker') return startupMs + workMs + elsewhereMs
  return startupMs + workMs + elsewhereMs + recycleMs
}

const levelWords: Readonly<Record<RecoveryLevel, string>> = {
  'in-place': 'with others',
  'fresh-process': 'alone in a process of its own',
  'other-worker': 'on another worker',
  'recycle-worker': 'after its worker has been recycled',
  isolate: 'not at all',
}

const causeWords: Readonly<Record<RetryCause, string>> = {
  failed: 'failures',
  'timed-out': 'time-outs',
  lost: 'losses',
  crashed: 'crashes',
  infrastructure: 'failed starts',
}

/** The choice, and what it rests on where there is anything: "…: worked 14 of 16 times for crashes of vitest, 1.2 s each; with others 1 of 9". */
function words(best: Bet, bets: readonly Bet[], framework: string, cause: RetryCause): string {
  const counts = best.counts
  const proof =
    counts === undefined || counts.tried === 0
      ? ''
      : `: worked ${counts.worked} of ${counts.tried} times for ${causeWords[cause]} of ${framework}, ${(counts.wallMs / counts.tried / 1000).toFixed(1)} s each`
  const others = bets
    .filter((bet) => bet !== best && bet.counts !== undefined && bet.counts.tried > 0)
    .map((bet) => `; ${levelWords[bet.level]} ${bet.counts!.worked} of ${bet.counts!.tried}`)
  return `${levelWords[best.level]}${proof}${others.join('')}`
}

/** How the tasks of an ended batch did that were tried again at some level; `blamed` are those whose attempt ended without a report and says something. */
export function recoveriesOf(
  state: State,
  batch: Batch,
  blamed: ReadonlySet<TaskIndex>,
  took: { readonly wallMs: number; readonly usage?: Usage },
): Recovery[] {
  if (!batch.retried) return []
  const groups = new Map<string, TaskIndex[]>()
  for (const [index, { kind, level, worked }] of batch.retried) {
    if (worked === undefined && !blamed.has(index)) continue
    const key = JSON.stringify([kind, level, worked === true ? 'worked' : 'failed'])
    const group = groups.get(key)
    if (group) group.push(index)
    else groups.set(key, [index])
  }
  return [...groups].map(([key, tasks]) => {
    const [kind, level, outcome] = JSON.parse(key) as [string, RecoveryLevel, Recovery['outcome']]
    const share = tasks.length / batch.tasks.length
    const recycledMs = level === 'recycle-worker' ? (state.workers.get(batch.worker)?.recycledMs ?? 0) : 0
    return {
      kind,
      level,
      outcome,
      tasks,
      wallMs: Math.round(took.wallMs * share + recycledMs),
      ...(took.usage === undefined
        ? {}
        : { cpuMs: Math.round(took.usage.cpuMs * share), memoryBytes: took.usage.memoryBytesMax }),
    }
  })
}
