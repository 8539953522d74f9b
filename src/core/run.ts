/** The run family: what may be asked of a run, and how its events change state. */
import { assert } from '../stdx/assert.ts'
import { checkDependencies, endWait, makeDependencies, packDependencies, waitForRuns } from './dependencies.ts'
import { forgetWakes } from './due.ts'
import type { Need, RunId, RunSpec, TaskIndex, Verdict } from './entities.ts'
import type { Event, RunCancelled, RunErrored, RunExtended, RunFinished, RunForgotten, RunSubmitted } from './events.ts'
import { Refused, type Cancel, type Extend, type Input, type Submit } from './input.ts'
import { emptyGroup, enqueue } from './group.ts'
import { freeNeed } from './holdings.ts'
import { ExpressionError, parseExpression } from './expression.ts'
import { noteQueue } from './queue-changes.ts'
import { forgetSpent } from './spent.ts'
import { cancelEvents, waitingTasks } from './waiting.ts'
import { accounted, emptyByState, expectedMs, Task, type Run, type State } from './state.ts'

/** What a file that nobody has measured is taken to need, when no neighbour is known either. */
const unknownFileMs = 500
/** Projects and users beyond so many are looked through for those that have had nothing lately. */
const spentKeptMax = 256

export function runOf(state: State, id: RunId): Run {
  const run = state.runs.get(id)
  if (!run) throw new Refused('not_found', `no run ${id}`)
  return run
}

/** The run, unless it is over or the caller saw another version of it. */
function liveRun(state: State, input: { readonly run: RunId; readonly version?: number }): Run {
  const run = runOf(state, input.run)
  if (input.version !== undefined && input.version !== run.version) {
    throw new Refused('version_mismatch', `run ${run.id} has version ${run.version}, not ${input.version}`)
  }
  if (run.state === 'finished') throw new Refused('conflict', `run ${run.id} is finished`)
  return run
}

function checkFiles(state: State, files: readonly string[], estimates: readonly unknown[], already: number): void {
  const { runTasksMax, queuedTasksMax } = state.limits
  if (estimates.length !== files.length) throw new Refused('request_invalid', 'expected one estimate per file')
  if (already + files.length > runTasksMax) {
    throw new Refused(
      'request_invalid',
      `expected at most ${runTasksMax} tasks in a run, received ${already + files.length}`,
    )
  }
  if (state.queuedCount + files.length > queuedTasksMax) {
    throw new Refused(
      'overloaded',
      `${state.queuedCount} tasks are waiting and the limit is ${queuedTasksMax}; try again later`,
    )
  }
}

export function stepSubmit(state: State, input: Submit): readonly Event[] {
  if (input.key !== undefined && state.keys.has(input.key)) return []
  if (state.runs.has(input.run)) throw new Refused('conflict', `run ${input.run} exists`)
  checkFiles(state, input.files, input.estimates, 0)
  checkNeeds(state, input)
  checkKinds(input.spec, input.files, input.kinds)
  if (input.dependencies) checkDependencies(input.files, input.dependencies)
  for (const { run } of input.spec.after ?? [])
    if (!state.runs.has(run)) throw new Refused('not_found', `no run ${run} to come after`)
  const { type: _, kinds, guessed, ...rest } = input
  const spec = readableSpec(state, input.spec)
  return [{ type: 'run.submitted', ...rest, spec, ...guessedOf(state, guessed), ...kindsOf(input.spec, kinds) }]
}

/** Without what older members couldn't read. */
function readableSpec(state: State, spec: RunSpec): RunSpec {
  if (state.format >= 3) return spec
  const { deadlineAtMs: _, user: __, onDependencyFailure: ______, ...second } = spec
  if (state.format >= 2) return second
  const { deadLetters: ___, retry: ____, traceparent: _____, ...first } = second
  return first
}

const needsMax = 1000

/** Needs and dependencies can't be left out: without them, something would run where or when it must not. */
function checkNeeds(state: State, { spec, dependencies }: Submit): void {
  const asks = spec.needs !== undefined || spec.after !== undefined || dependencies !== undefined
  if (asks && state.format < 3)
    throw new Refused('conflict', 'needs and dependencies are taken once all coordinators have been upgraded')
  if (spec.needs === undefined) return
  if (spec.needs.length === 0 || spec.needs.length > needsMax)
    throw new Refused('request_invalid', `expected 1 to ${needsMax} needs, received ${spec.needs.length}`)
  for (const need of spec.needs) checkNeed(need)
}

function checkNeed(need: Need): void {
  const numbers = [need.cpus, need.memoryBytes, need.gpus?.count, need.batchMax, ...Object.values(need.resources ?? {})]
  for (const number of numbers)
    if (number !== undefined && !(Number.isSafeInteger(number) && number >= 1))
      throw new Refused('request_invalid', `expected whole numbers from 1 in a need, received ${number}`)
  const names = (need.locks ?? []).map((lock) => lock.name)
  const counted = (need.locks ?? []).find(
    (lock) => lock.mode === 'counted' && !(Number.isSafeInteger(lock.max) && lock.max >= 1),
  )
  if (counted) throw new Refused('request_invalid', `lock '${counted.name}': expected a whole number of holders from 1`)
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice !== undefined) throw new Refused('request_invalid', `lock '${twice}' is asked for twice in one need`)
  if (need.where === undefined) return
  try {
    parseExpression(need.where)
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    throw new Refused('request_invalid', error.message)
  }
}

/** To older members an estimate is an estimate. */
function guessedOf(
  { format }: State,
  guessed: readonly number[] | undefined,
): { readonly guessed?: readonly number[] } {
  return guessed === undefined || guessed.length === 0 || format < 3 ? {} : { guessed }
}

/** Where there is one need, there is nothing to say. */
function kindsOf(spec: RunSpec, kinds: readonly number[] | undefined): { readonly kinds?: readonly number[] } {
  return spec.needs === undefined || kinds === undefined ? {} : { kinds }
}

function checkKinds(spec: RunSpec, files: readonly string[], kinds: readonly number[] | undefined): void {
  if (kinds === undefined) return
  const count = spec.needs?.length ?? 1
  if (kinds.length !== files.length) throw new Refused('request_invalid', 'expected one kind per file')
  for (const kind of kinds)
    if (!Number.isInteger(kind) || kind < 0 || kind >= count)
      throw new Refused('request_invalid', `expected kinds from 0 to ${count - 1}, received ${kind}`)
}

export function stepExtend(state: State, input: Extend): readonly Event[] {
  const run = liveRun(state, input)
  if (!run.open) throw new Refused('conflict', `run ${run.id} is sealed: it takes no more tasks`)
  checkFiles(state, input.files, input.estimates, run.tasks.length)
  checkKinds(run.spec, input.files, input.kinds)
  const { type: _, kinds, guessed, ...rest } = input
  return [{ type: 'run.extended', ...rest, ...guessedOf(state, guessed), ...kindsOf(run.spec, kinds) }]
}

export function stepSeal(state: State, input: Extract<Input, { type: 'seal' }>): readonly Event[] {
  const run = liveRun(state, input)
  return run.open ? [{ type: 'run.sealed', run: run.id, who: input.who }] : []
}

export function stepPause(state: State, input: Extract<Input, { type: 'pause' }>): readonly Event[] {
  const run = liveRun(state, input)
  if (run.cancelled) throw new Refused('conflict', `run ${run.id} is being cancelled`)
  return run.state === 'paused' ? [] : [{ type: 'run.paused', run: run.id, who: input.who, why: input.why }]
}

export function stepResume(state: State, input: Extract<Input, { type: 'resume' }>): readonly Event[] {
  const run = liveRun(state, input)
  return run.state === 'paused' ? [{ type: 'run.resumed', run: run.id, who: input.who }] : []
}

export function stepPrioritise(state: State, input: Extract<Input, { type: 'prioritise' }>): readonly Event[] {
  const run = liveRun(state, input)
  if (run.priority === input.priority) return []
  return [{ type: 'run.prioritised', run: run.id, who: input.who, priority: input.priority }]
}

export function stepCancel(state: State, input: Cancel): readonly Event[] {
  const run = liveRun(state, input)
  if (run.cancelled && (!run.cancelled.drain || input.drain)) return []
  return cancelEvents(run, input.who, input.why, input.drain)
}

export function stepAbandon(state: State, input: Extract<Input, { type: 'abandon' }>): readonly Event[] {
  const run = liveRun(state, input)
  const queued = waitingTasks(run, input.kinds === undefined ? undefined : new Set(input.kinds))
  return queued.length === 0 ? [] : [{ type: 'task.ended', run: run.id, tasks: queued, state: 'lost', why: input.why }]
}

/** Events that follow from the state a run has come to: stop after too many failures, finish. */
export function settleRun(run: Run, nowMs: number): readonly Event[] {
  if (run.state === 'finished') return []
  const { maxFailures } = run.spec
  if (maxFailures > 0 && run.failureCount >= maxFailures && !run.cancelled && accounted(run) < run.tasks.length) {
    return cancelEvents(
      run,
      'coordinator',
      `stopped after ${run.failureCount} failures (max-failures ${maxFailures})`,
      false,
    )
  }
  if (run.open && !run.cancelled) return []
  if (run.batches.size > 0 || accounted(run) < run.tasks.length) return []
  return [finishedEvent(run, nowMs)]
}

function finishedEvent(run: Run, nowMs: number): RunFinished {
  const { verdict, why } = judge(run)
  const cpus = [...run.workers.values()].reduce((sum, worker) => sum + worker.cpus, 0)
  const startupMs = run.startupMs ?? 0
  return {
    type: 'run.finished',
    run: run.id,
    verdict,
    why,
    wallMs: Math.max(0, nowMs - (run.startedAtMs ?? nowMs)),
    lowerBoundMs: cpus === 0 ? 0 : Math.round(startupMs + Math.max(run.workMs / cpus, run.longestMs)),
  }
}

function judge(run: Run): { verdict: Verdict; why: string } {
  const by = run.byState
  const planned = run.tasks.length
  if (accounted(run) !== planned || by.lost > 0) {
    return { verdict: 'incomplete', why: `${by.lost + planned - accounted(run)} of ${planned} tasks have no result` }
  }
  if (by.failed > 0) return { verdict: 'failed', why: `${by.failed} of ${planned} tasks failed` }
  if (run.errors.length > 0) return { verdict: 'failed', why: run.errors[0]! }
  if (by['timed-out'] > 0)
    return { verdict: 'timed-out', why: `${by['timed-out']} of ${planned} tasks ran out of time` }
  if (by.cancelled > 0 || run.cancelled) return { verdict: 'cancelled', why: run.cancelled?.why ?? 'cancelled' }
  if (planned === 0) return { verdict: 'empty', why: 'the run had no tasks' }
  return { verdict: 'passed', why: `all ${planned} tasks passed` }
}

export function stepPrune(state: State): readonly Event[] {
  const { finishedRunsMax, finishedTasksMax } = state.limits
  const events: RunForgotten[] = []
  let tasks = state.finishedTasks
  for (const id of state.finished) {
    const left = state.finished.length - events.length
    if (left <= finishedRunsMax && (tasks <= finishedTasksMax || left === 1)) break
    tasks -= state.runs.get(id)!.tasks.length
    events.push({ type: 'run.forgotten', run: id })
  }
  return events
}

// ---- apply ----

export function applySubmitted(state: State, event: RunSubmitted, atMs: number): void {
  const { spec } = event
  const told = event.estimates.filter((estimate): estimate is number => estimate !== null).sort((a, b) => a - b)
  const run: Run = {
    id: event.run,
    who: event.who,
    key: event.key,
    spec,
    state: 'queued',
    version: 1,
    priority: spec.priority,
    open: spec.open,
    createdAtMs: atMs,
    startedAtMs: undefined,
    endedAtMs: undefined,
    verdict: undefined,
    why: undefined,
    cancelled: undefined,
    tasks: [],
    groups: (spec.needs ?? [freeNeed]).map(emptyGroup),
    dependencies: makeDependencies(event.dependencies),
    pastDependencies: undefined,
    after: [],
    queuedCount: 0,
    queuedMs: 0,
    byState: emptyByState(),
    tests: { passed: 0, failed: 0, flaky: 0, skipped: 0, total: 0 },
    failureCount: 0,
    batches: new Set(),
    batchesEnded: 0,
    rerun: 0,
    errors: [],
    knownCount: 0,
    expectedMs: 0,
    expectedLongestMs: 0,
    unknownMs: told.length > 0 ? told[told.length >> 1]! : unknownFileMs,
    workMs: 0,
    longestMs: 0,
    startupMs: undefined,
    workers: new Map(),
    reports: [],
    mishaps: [],
    outputs: [],
    wallMs: undefined,
    lowerBoundMs: undefined,
  }
  state.runs.set(run.id, run)
  state.active.add(run.id)
  if (event.key !== undefined) state.keys.set(event.key, run.id)
  waitForRuns(state, run)
  addTasks(state, run, event)
}

export function applyExtended(state: State, event: RunExtended): void {
  addTasks(state, state.runs.get(event.run)!, event)
}

function addTasks(state: State, run: Run, event: RunSubmitted | RunExtended): void {
  const { files, estimates, kinds } = event
  const guessed = new Set(event.guessed)
  const first = run.tasks.length
  const fresh: TaskIndex[][] = run.groups.map(() => [])
  for (let at = 0; at < files.length; at += 1) {
    const estimate = estimates[at]
    const task = new Task(files[at]!, typeof estimate === 'number' ? estimate : -1, kinds?.[at] ?? 0, guessed.has(at))
    if (task.estimateMs >= 0 && !task.guessed) run.knownCount += 1
    const taskMs = expectedMs(run, task)
    run.expectedMs += taskMs
    if (taskMs > run.expectedLongestMs) run.expectedLongestMs = taskMs
    run.tasks.push(task)
    if (run.dependencies?.open.has(first + at)) {
      task.state = 'blocked'
      run.byState.blocked += 1
      continue
    }
    const group = run.groups[task.kind]!
    group.queuedCount += 1
    group.queuedMs += taskMs
    run.queuedCount += 1
    run.queuedMs += taskMs
    run.byState.queued += 1
    state.queuedCount += 1
    fresh[task.kind]!.push(first + at)
  }
  for (const group of run.groups) enqueue(run, group, fresh[group.kind]!)
  noteQueue(state, run)
}

export function applyCancelled(run: Run, event: RunCancelled): void {
  run.cancelled = { who: event.who, why: event.why, drain: event.drain }
  run.state = 'cancelling'
  run.open = false
}

export function applyErrored(state: State, run: Run, event: RunErrored): void {
  if (run.errors.length < state.limits.runErrorsMax) run.errors.push(event.message)
}

export function applyFinished(state: State, run: Run, event: RunFinished, atMs: number): void {
  assert(run.state !== 'finished', `run ${run.id} finishes once`)
  run.state = 'finished'
  run.verdict = event.verdict
  run.why = event.why
  run.wallMs = event.wallMs
  run.lowerBoundMs = event.lowerBoundMs
  run.endedAtMs = atMs
  for (const group of run.groups) {
    group.queue = []
    group.queueHead = 0
    group.again = []
  }
  run.pastDependencies = packDependencies(run.dependencies)
  run.dependencies = undefined
  forgetWakes(state, run)
  endWait(state, run)
  if (state.spent.size > spentKeptMax) forgetSpent(state)
  run.mishaps = []
  state.active.delete(run.id)
  state.finished.push(run.id)
  state.finishedTasks += run.tasks.length
}

export function applyForgotten(state: State, event: RunForgotten): void {
  const run = state.runs.get(event.run)!
  assert(state.finished[0] === run.id, `run ${run.id} is the oldest finished one`)
  state.finished.shift()
  state.finishedTasks -= run.tasks.length
  state.runs.delete(run.id)
  state.followers.delete(run.id)
  if (run.key !== undefined) state.keys.delete(run.key)
}
