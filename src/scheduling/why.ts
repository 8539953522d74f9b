/**
 * `muster why`: the state of a run or a task, what it waits for, when it will start and finish, and what would make that
 * sooner. Reads only. For a whole run it looks at groups, not at tasks, so that a hundred thousand tasks cost what one does.
 */
import type { RunId, TaskIndex } from '../core/entities.ts'
import { accounted, type Run, type State } from '../core/state.ts'
import { isTerminal } from '../core/task-state.ts'
import { attemptsOf, type Attempt } from './ended.ts'
import { batchWorkEnds, type Interval, type WatchedView } from './expected.ts'
import { Fleets, measuredSpeed, type View } from './fleet.ts'
import { holderOf } from './worker-reasons.ts'
import { needWords } from './need-words.ts'
import { restsOn, runTimes, waitingTaskTimes, type Times } from './outlook.ts'
import type { Holder, Reason, Situation } from './reason.ts'
import { reasonsOf } from './reasons.ts'
import { soonerThan, type Reorder, type Sooner } from './sooner.ts'
import type { Strategy } from './strategy.ts'
import { reasonWords, silentWords } from './waiting-words.ts'

/** Tasks that wait for the same. */
export type Wait = {
  /** What the tasks need, shortly; empty when they need nothing special. */
  readonly need: string
  readonly tasks: number
  /** None: nothing is in the way. */
  readonly reasons: readonly Reason[]
  /** The reasons, one sentence each. */
  readonly words: readonly string[]
}

export type Why = {
  readonly run: RunId
  /** Of a task: its id `RUN/INDEX`, and its file. */
  readonly task?: string
  readonly file?: string
  readonly state: string
  /** Of a run: how many tasks are in which state. */
  readonly tasks?: Readonly<Record<string, number>>
  /** For what is over, and for what runs: one sentence. */
  readonly words: string
  readonly waits: readonly Wait[]
  /** 1 = next, of `queueLength` runs that wait for workers. */
  readonly queuePosition?: number
  readonly queueLength?: number
  /** Why it has no place in a queue although it waits; one sentence. */
  readonly queueWords?: string
  readonly strategy?: string
  readonly starts?: Interval
  readonly finishes?: Interval
  readonly restsOn?: string
  readonly sooner: readonly Sooner[]
  /** Of a task that runs. */
  readonly on?: Holder
  /** Of a task: what was tried before, oldest first. */
  readonly attempts?: readonly Attempt[]
  readonly attemptsMade?: number
  readonly endedAtMs?: number
  readonly nowMs: number
}

export type ChosenStrategy = {
  readonly strategy: Strategy
  readonly config: unknown
  readonly mine?: (run: Run) => boolean
  /** Other strategies serve other runs. */
  readonly several?: boolean
}

export function explain(
  view: WatchedView,
  run: Run,
  index: TaskIndex | undefined,
  chosen: ChosenStrategy,
  nowMs: number,
): Why {
  const situation = situationOf(view, chosen, nowMs)
  return index === undefined
    ? explainRun(situation, run, reorderBy(view, chosen, nowMs))
    : explainTask(situation, run, index, reorderBy(view, chosen, nowMs))
}

export function situationOf(
  view: WatchedView,
  { strategy, config, mine, several = false }: ChosenStrategy,
  nowMs: number,
): Situation {
  const order = strategy.order?.({ ...view, nowMs, ...(mine === undefined ? {} : { mine }) }, config)
  const speed = strategy.speed?.(view, config) ?? measuredSpeed
  return {
    view,
    fleets: new Fleets(view),
    strategy: strategy.name,
    order,
    several,
    speed,
    alone: strategy.alone ?? false,
    nowMs,
  }
}

/** The same state with one run in another's place; nothing is changed. */
function reorderBy(view: View, { strategy, config, mine }: ChosenStrategy, nowMs: number): Reorder {
  return ({ run, as }) => {
    const runs = new Map(view.state.runs).set(run.id, as)
    const state: State = { ...view.state, runs }
    return strategy.order?.({ ...view, state, nowMs, ...(mine === undefined ? {} : { mine }) }, config)
  }
}

function explainRun(situation: Situation, run: Run, reorder: Reorder): Why {
  const { nowMs } = situation
  const tasks = Object.fromEntries(Object.entries(run.byState).filter(([, count]) => count > 0))
  const base = { run: run.id, state: run.state, tasks, nowMs }
  if (run.state === 'finished') {
    const words = `${run.verdict!}: ${run.why!}`
    return {
      ...base,
      words,
      waits: [],
      sooner: [],
      ...(run.endedAtMs === undefined ? {} : { endedAtMs: run.endedAtMs }),
    }
  }
  const waits: Wait[] = []
  const sooner = new Map<string, Sooner>()
  for (const group of run.groups) {
    if (group.queuedCount === 0) continue
    const reasons = reasonsOf(situation, run, group)
    waits.push(waitOf(needWords(group.need), group.queuedCount, reasons, nowMs))
    for (const one of soonerThan(situation, run, group, reasons, reorder)) sooner.set(one.words, one)
  }
  if (run.byState.blocked > 0) {
    const words = 'come after other tasks of the run'
    waits.push({ need: '', tasks: run.byState.blocked, reasons: [], words: [words] })
  }
  return {
    ...base,
    words: runWords(run, waits),
    waits,
    ...placeInQueue(situation, run),
    ...timesOf(runTimes(situation, run)),
    restsOn: restsOn(run),
    sooner: [...sooner.values()],
  }
}

function runWords(run: Run, waits: readonly Wait[]): string {
  const under = run.byState.assigned + run.byState.running
  const done = `${accounted(run)} of ${run.tasks.length} done`
  if (waits.length === 0 && under > 0)
    return `${done}, ${under} under way on ${run.batches.size} ${run.batches.size === 1 ? 'worker' : 'workers'}`
  if (run.open && waits.length === 0) return `${done}; it is open for more tasks`
  return under > 0
    ? `${done}, ${under} under way, ${run.queuedCount + run.byState.blocked} wait`
    : `${done}, nothing under way`
}

function explainTask(situation: Situation, run: Run, index: TaskIndex, reorder: Reorder): Why {
  const { view, nowMs } = situation
  const task = run.tasks[index]!
  const attempts = attemptsOf(run, index)
  const base = {
    run: run.id,
    task: `${run.id}/${index}`,
    file: task.file,
    state: task.state,
    nowMs,
    attempts,
    attemptsMade: task.attempts,
  }
  if (isTerminal(task.state)) return { ...base, ...endOf(run, index, attempts), waits: [], sooner: [] }
  const batch = task.batch === undefined ? undefined : view.state.batches.get(task.batch)
  if (batch && (task.state === 'assigned' || task.state === 'running')) {
    const on = holderOf(view, batch.id, nowMs)
    const others = batch.tasks.length - 1
    const beside = others === 0 ? '' : ` with ${others} ${others === 1 ? 'other' : 'others'}`
    const place = task.state === 'running' ? `runs on ${on.name}` : `given to ${on.name}${beside}, not begun`
    const words = on.silent ? `${place}; ${silentWords(on.name, on.silent, nowMs)}, and run again` : place
    const finishes = batchWorkEnds(view, batch, nowMs)
    return { ...base, words, on, waits: [], finishes, restsOn: restsOn(run), sooner: [] }
  }
  const group = run.groups[task.kind]!
  const reasons = reasonsOf(situation, run, group, index)
  return {
    ...base,
    words: reasons.length === 0 ? 'nothing is in its way: it is placed next' : reasonWords(reasons[0]!, nowMs),
    waits: [waitOf(needWords(group.need), 1, reasons, nowMs)],
    ...placeInQueue(situation, run),
    ...timesOf(waitingTaskTimes(situation, run, index)),
    restsOn: restsOn(run),
    sooner: soonerThan(situation, run, group, reasons, reorder),
  }
}

function endOf(
  run: Run,
  index: TaskIndex,
  attempts: readonly Attempt[],
): { readonly words: string; readonly endedAtMs?: number } {
  const { why, state, attempts: made } = run.tasks[index]!
  const last = attempts.at(-1)
  const where = last ? ` on ${last.name}` : made === 0 ? ', never begun' : ''
  const reason = why === undefined || why === state ? '' : `: ${why}`
  return { words: `${state}${where}${reason}`, ...(last ? { endedAtMs: last.atMs } : {}) }
}

function waitOf(need: string, tasks: number, reasons: readonly Reason[], nowMs: number): Wait {
  return { need, tasks, reasons, words: reasons.map((reason) => reasonWords(reason, nowMs)) }
}

function placeInQueue({ order, strategy }: Situation, run: Run) {
  const at = order?.indexOf(run) ?? -1
  if (at >= 0) return { strategy, queuePosition: at + 1, queueLength: order!.length }
  if (order !== undefined || run.queuedCount === 0) return { strategy }
  return { strategy, queueWords: `scheduler '${strategy}' tells no order in which it serves runs` }
}

function timesOf(times: Times | undefined) {
  return times ?? {}
}
