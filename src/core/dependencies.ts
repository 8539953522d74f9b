/**
 * What waits for what: tasks of one run for each other, and runs for runs. A cycle is refused at submission, with its
 * path. When a task ends, those behind it are queued, or skipped with all that is behind them if it did not do well and the
 * run says so; that follows within the same entry, so that nothing ever waits for something that is over.
 */
import type { RunDependency, TaskDependency, TaskIndex, TaskState, Verdict } from './entities.ts'
import type { Event } from './events.ts'
import { Refused } from './input.ts'
import { noteQueue } from './queue-changes.ts'
import type { Dependencies, Run, State, Task } from './state.ts'
import { cancelEvents } from './waiting.ts'

/** Files of a cycle that are named; the rest are counted. */
const cycleNamesMax = 10

export function checkDependencies(files: readonly string[], dependencies: readonly TaskDependency[]): void {
  const before = new Map<TaskIndex, readonly TaskIndex[]>()
  for (const { task, after } of dependencies) {
    for (const index of [task, ...after])
      if (!Number.isInteger(index) || index < 0 || index >= files.length)
        throw new Refused(
          'request_invalid',
          `expected dependencies between tasks 0 to ${files.length - 1}, received ${index}`,
        )
    if (before.has(task))
      throw new Refused('request_invalid', `the dependencies of task ${task} (${files[task]!}) are given twice`)
    before.set(task, [...new Set(after)])
  }
  const cycle = findCycle(before)
  if (cycle === undefined) return
  const names = cycle.slice(0, cycleNamesMax).map((index) => files[index]!)
  const more = cycle.length > cycleNamesMax ? ` -> … (${cycle.length - cycleNamesMax} more)` : ''
  throw new Refused(
    'request_invalid',
    `dependencies go round in a circle: ${[...names, names[0]!].join(' -> ')}${more}`,
  )
}

/** Depth first with a stack of its own: a chain may be a hundred thousand long. */
function findCycle(before: ReadonlyMap<TaskIndex, readonly TaskIndex[]>): TaskIndex[] | undefined {
  const done = new Set<TaskIndex>()
  for (const start of before.keys()) {
    if (done.has(start)) continue
    const path: { readonly index: TaskIndex; next: number }[] = [{ index: start, next: 0 }]
    const onPath = new Set([start])
    while (path.length > 0) {
      const last = path.at(-1)!
      const next = before.get(last.index)?.[last.next]
      last.next += 1
      if (next === undefined) {
        path.pop()
        onPath.delete(last.index)
        done.add(last.index)
      } else if (onPath.has(next)) {
        return path.map((step) => step.index).slice(path.findIndex((step) => step.index === next))
      } else if (!done.has(next)) {
        path.push({ index: next, next: 0 })
        onPath.add(next)
      }
    }
  }
  return undefined
}

/** Called by `apply`, before the tasks are made: who is blocked from the start. */
export function makeDependencies(given: readonly TaskDependency[] = []): Dependencies | undefined {
  if (given.length === 0) return undefined
  const open = new Map<TaskIndex, number>()
  const dependents = new Map<TaskIndex, TaskIndex[]>()
  for (const { task, after } of given) {
    const before = new Set(after)
    if (before.size === 0) continue
    open.set(task, before.size)
    for (const index of before) {
      const list = dependents.get(index)
      if (list) list.push(task)
      else dependents.set(index, [task])
    }
  }
  return { open, dependents }
}

/** Those between some tasks of a run, by their places among these; also of a run that is over. */
export function dependenciesAmong(run: Run, tasks: readonly TaskIndex[]): TaskDependency[] {
  const after = new Map<TaskIndex, TaskIndex[]>()
  const places = new Map(tasks.map((index, place) => [index, place]))
  for (const [task, before] of run.pastDependencies ? unpacked(run.pastDependencies) : pairsOf(run.dependencies)) {
    const place = places.get(task)
    const placeBefore = places.get(before)
    if (place === undefined || placeBefore === undefined) continue
    const list = after.get(place)
    if (list) list.push(placeBefore)
    else after.set(place, [placeBefore])
  }
  return [...after].map(([task, list]) => ({ task, after: list }))
}

function* pairsOf(dependencies: Dependencies | undefined): Generator<readonly [task: TaskIndex, before: TaskIndex]> {
  for (const [before, dependents] of dependencies?.dependents ?? []) for (const task of dependents) yield [task, before]
}

/**
 * What is left of them once the run is over, and nobody waits any more: which came after which, for a run that repeats
 * it. Two numbers for each, by the task: a tenth of what they took, and a snapshot holds next to nothing of a chain.
 */
export function packDependencies(dependencies: Dependencies | undefined): Uint32Array | undefined {
  if (dependencies === undefined) return undefined
  let span = 1
  let count = 0
  for (const [task, before] of pairsOf(dependencies)) {
    span = Math.max(span, task + 1, before + 1)
    count += 1
  }
  const keys = new Float64Array(count)
  let at = 0
  for (const [task, before] of pairsOf(dependencies)) keys[at++] = task * span + before
  keys.sort()
  const packed = new Uint32Array(count * 2)
  for (let place = 0; place < count; place += 1) {
    const key = keys[place]!
    packed[place * 2] = Math.floor(key / span)
    packed[place * 2 + 1] = key % span
  }
  return packed
}

function* unpacked(packed: Uint32Array): Generator<readonly [task: TaskIndex, before: TaskIndex]> {
  for (let at = 0; at < packed.length; at += 2) yield [packed[at]!, packed[at + 1]!]
}

/** For JSON: how much further each task is than the one before it, and how far back what it came after is. */
export function pastToData(packed: Uint32Array): number[] {
  const data: number[] = []
  let last = 0
  for (const [task, before] of unpacked(packed)) {
    data.push(task - last, task - before)
    last = task
  }
  return data
}

export function pastFromData(data: readonly number[]): Uint32Array {
  const packed = new Uint32Array(data.length)
  let task = 0
  for (let at = 0; at < data.length; at += 2) {
    task += data[at]!
    packed[at] = task
    packed[at + 1] = task - data[at + 1]!
  }
  return packed
}

/** Called by `apply`: one that others wait for has ended. */
export function countDown(run: Run, index: TaskIndex): void {
  for (const task of run.dependencies?.dependents.get(index) ?? []) {
    const { open } = run.dependencies!
    const left = open.get(task)
    // Those that were cancelled meanwhile wait no more.
    if (left !== undefined) open.set(task, left - 1)
  }
}

/** Skipped without an attempt means that something before it went wrong. */
function didWell(task: Task): boolean {
  return task.state === 'passed' || task.state === 'flaky' || (task.state === 'skipped' && task.attempts > 0)
}

/** What follows for those behind the tasks that these events, already applied, ended. */
export function dependencyEvents(state: State, events: readonly Event[]): Event[] {
  const follow: Event[] = []
  const ended = new Map<Run, TaskIndex[]>()
  for (const event of events) {
    if (event.type === 'task.ended') {
      const run = state.runs.get(event.run)!
      if (!run.dependencies) continue
      const tasks = ended.get(run)
      if (tasks) for (const index of event.tasks) tasks.push(index)
      else ended.set(run, [...event.tasks])
    }
    if (event.type === 'run.finished') followRuns(state, event.run, follow)
    if (event.type === 'run.submitted') followBefore(state, event.run, event.spec.after ?? [], follow)
  }
  for (const [run, tasks] of ended) followTasks(run, run.dependencies!, tasks, follow)
  return follow
}

function followTasks(run: Run, dependencies: Dependencies, ended: readonly TaskIndex[], follow: Event[]): void {
  const seen = new Set<TaskIndex>()
  const blocked = (index: TaskIndex) =>
    (dependencies.dependents.get(index) ?? []).filter((one) => run.tasks[one]!.state === 'blocked' && !seen.has(one))
  const goesOn = (index: TaskIndex) => run.spec.onDependencyFailure === 'run' || didWell(run.tasks[index]!)
  // Those that will never run first, all the way down: one of them may also come after something that did well.
  const skipped = new Map<string, TaskIndex[]>()
  for (const index of ended) {
    if (goesOn(index)) continue
    const lost = blocked(index)
    for (const one of lost) seen.add(one)
    for (let at = 0; at < lost.length; at += 1) {
      for (const one of blocked(lost[at]!)) {
        seen.add(one)
        lost.push(one)
      }
    }
    if (lost.length === 0) continue
    const { file, state } = run.tasks[index]!
    const why = `${file}, which it comes after, ${endedWords(state)}`
    const tasks = skipped.get(why)
    if (tasks) for (const one of lost) tasks.push(one)
    else skipped.set(why, lost)
  }
  const ready: TaskIndex[] = []
  for (const index of ended) {
    if (!goesOn(index)) continue
    for (const one of blocked(index)) {
      if (dependencies.open.get(one) !== 0) continue
      seen.add(one)
      ready.push(one)
    }
  }
  if (ready.length > 0) follow.push({ type: 'task.unblocked', run: run.id, tasks: ready })
  for (const [why, tasks] of skipped) follow.push({ type: 'task.ended', run: run.id, tasks, state: 'skipped', why })
}

/** As a verb: what it came after `failed`, `timed out`, `was lost`. */
function endedWords(end: TaskState | Verdict): string {
  if (end === 'failed') return end
  if (end === 'timed-out') return 'timed out'
  return end === 'incomplete' ? 'is incomplete' : `was ${end}`
}

function followRuns(state: State, ended: string, follow: Event[]): void {
  const run = state.runs.get(ended)!
  for (const id of state.followers.get(ended) ?? []) followRun(state.runs.get(id)!, run, follow)
}

function followBefore(state: State, id: string, after: readonly RunDependency[], follow: Event[]): void {
  const run = state.runs.get(id)!
  for (const { run: before } of after) {
    const one = state.runs.get(before)!
    if (one.state === 'finished') followRun(run, one, follow)
  }
}

function followRun(run: Run, before: Run, follow: Event[]): void {
  if (run.state === 'finished' || run.cancelled || before.verdict === 'passed' || before.verdict === 'empty') return
  if (!run.spec.after!.some((one) => one.run === before.id && one.when === 'passed')) return
  if (follow.some((event) => event.type === 'run.cancelled' && event.run === run.id)) return
  follow.push(
    ...cancelEvents(
      run,
      'coordinator',
      `run ${before.id}, which it comes after, ${endedWords(before.verdict!)}`,
      false,
    ),
  )
}

/** Called by `apply`: the run waits for those that are not over. */
export function waitForRuns(state: State, run: Run): void {
  for (const { run: before } of run.spec.after ?? [])
    if (state.runs.get(before)!.state !== 'finished' && !run.after.includes(before)) run.after.push(before)
  addFollower(state, run)
}

/** Those that a run comes after know it until it has ended, or they are forgotten. */
export function addFollower(state: State, run: Run): void {
  for (const before of befores(run)) {
    if (!state.runs.has(before)) continue
    const list = state.followers.get(before)
    if (list) list.push(run.id)
    else state.followers.set(before, [run.id])
  }
}

function befores(run: Run): ReadonlySet<string> {
  return new Set((run.spec.after ?? []).map((one) => one.run))
}

/** Called by `apply`: it is over for those that waited for it, and it waits for nobody any more. */
export function endWait(state: State, ended: Run): void {
  for (const id of state.followers.get(ended.id) ?? []) {
    const run = state.runs.get(id)!
    if (!run.after.includes(ended.id)) continue
    run.after = run.after.filter((one) => one !== ended.id)
    if (run.after.length === 0) noteQueue(state, run)
  }
  ended.after = []
  for (const before of befores(ended)) {
    const left = state.followers.get(before)?.filter((id) => id !== ended.id)
    if (left === undefined) continue
    if (left.length === 0) state.followers.delete(before)
    else state.followers.set(before, left)
  }
}
