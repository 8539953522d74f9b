/**
 * The life of runs, workers, batches and attempts as log lines: a projection of committed entries, so
 * that every line is about something durable, and the line's `position` says where it stands in the
 * log. Only the coordinator that leads writes them. What a person follows is `info`; every batch, task
 * and attempt is `debug`; what went wrong with a process or a worker is `warn`.
 */
import type { Event } from '../core/events.ts'
import type { State } from '../core/state.ts'
import { AttemptBook, type AttemptStep } from './attempts.ts'
import type { Say } from './say.ts'
import type { Watched } from './watched.ts'

type Fields = Readonly<Record<string, unknown>>
type Line = readonly [level: 'debug' | 'info' | 'warn', message: string, fields: Fields]

/** Returns the function that ends it. `debug`: whether such lines are wanted; else they are not even made. */
export function logLife(coordinator: Watched, say: Say, debug: boolean): () => void {
  const book = debug ? new AttemptBook(coordinator.state, coordinator.standing().position) : undefined
  return coordinator.observe((entry) => {
    const { events, position, appendMs } = entry
    const { state } = coordinator
    const steps = book?.entry(entry, state) ?? []
    // Without it: another coordinator's entry, which that one tells of.
    if (appendMs === undefined) return
    for (const event of events) {
      const line = lineOf(event, state)
      if (!line || (line[0] === 'debug' && !debug)) continue
      const [level, message, fields] = line
      say(level, message, { event: event.type, position, ...fields })
    }
    for (const step of steps) {
      const [level, message, fields] = attemptLine(step, state)
      say(level, message, { event: `attempt.${step.type}`, position, ...fields })
    }
  })
}

function lineOf(event: Event, state: State): Line | undefined {
  switch (event.type) {
    case 'leader.started': {
      const { owner, version } = event
      return ['info', 'this coordinator leads', { owner, version }]
    }
    case 'run.submitted': {
      const { run, who, spec, files } = event
      const { suite, project, framework, priority } = spec
      return ['info', 'run submitted', { run, who, suite, project, framework, priority, tasks: files.length }]
    }
    case 'run.finished': {
      const { run, verdict, why, wallMs } = event
      const { tests, tasks } = state.runs.get(run) ?? {}
      return ['info', `run finished: ${verdict}`, { run, verdict, why, wallMs, tasks: tasks?.length, tests }]
    }
    case 'run.cancelled': {
      const { run, who, why } = event
      return ['info', 'run cancelled', { run, who, why }]
    }
    case 'run.errored':
      return ['warn', 'the framework failed outside any file', namesOf(event, { error: event.message })]
    case 'worker.joined': {
      const { worker, name, version, capabilities } = event
      return ['info', 'worker joined', { worker, name, version, host: capabilities.host, cpus: capabilities.cpus }]
    }
    case 'worker.left':
      return ['info', 'worker left', { worker: event.worker, why: event.why }]
    case 'batch.ended': {
      const { reason, exitCode, signal, wallMs, message } = event
      const fields = namesOf(event, { reason, exitCode, signal, wallMs, message })
      const fine = reason === 'completed' || reason === 'cancelled'
      return fine ? ['debug', `batch ended: ${reason}`, fields] : ['warn', `batch ended: ${reason}`, fields]
    }
    case 'task.ended': {
      const { run, tasks, state: end, why } = event
      const fields = { run, tasks: tasks.length, task: tasks.length === 1 ? `${run}/${tasks[0]}` : undefined, why }
      return end === 'lost' ? ['warn', 'tasks are lost', fields] : ['debug', `tasks ended: ${end}`, fields]
    }
    case 'task.started':
    case 'task.reported':
      // The attempts say it.
      return undefined
    default:
      return [quietly(event) ? 'debug' : 'info', wordsOf(event), namesOf(event)]
  }
}

/** What happens to each task of a big run is for debugging; the rest is seldom and done by somebody. */
function quietly(event: Event): boolean {
  return /^(?:task|batch)\.|^run\.(?:extended|forgotten)$/.test(event.type)
}

function wordsOf(event: Event): string {
  return event.type.replaceAll('.', ' ').replaceAll('-', ' ')
}

/** The plain fields that an event has, so that a new kind of event has a line without a change here. */
function namesOf(event: Event, more: Fields = {}): Fields {
  const fields: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(event)) {
    if (name === 'type' || name === 'token') continue
    // A line has a level of its own.
    if (name === 'level') fields['recoveryLevel'] = value
    else if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') fields[name] = value
    else if (name === 'tasks' && Array.isArray(value)) fields['tasks'] = value.length
  }
  return { ...fields, ...more }
}

function attemptLine({ type, attempt }: AttemptStep, state: State): Line {
  const { run, task, batch, worker } = attempt
  const file = state.runs.get(run)?.tasks[task]?.file
  const names = { run, task: `${run}/${task}`, attempt: attempt.attempt, batch, worker, file }
  if (type === 'assigned') return ['debug', 'attempt assigned', names]
  const { outcome, startedAtMs, endedAtMs, why } = attempt
  return ['debug', `attempt ended: ${outcome}`, { ...names, outcome, durationMs: endedAtMs - startedAtMs, why }]
}
