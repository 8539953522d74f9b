/** The ledger's books of runs: what may be said of one, and when. */
import type { Event } from '../../core/events.ts'
import type { BookRun, BookTask, Books } from './book-types.ts'
import { assigned, batchEnded, isEnd, reported, requeued, started, taskEnded } from './ledger-tasks.ts'

type RunEvent = Extract<Event, { run: string }>

export function runEvent(ledger: Books, event: RunEvent): void {
  if (event.type === 'run.submitted') return submitted(ledger, event)
  const run = ledger.runs.get(event.run)
  ledger.check(run !== undefined, 'events concern known runs', () => `${event.type} of ${event.run}`)
  if (!run || event.type.startsWith('dead-letter.')) return
  ledger.check(run.finishedAt === undefined || event.type === 'run.forgotten', 'a finished run stays as it is', () => {
    return `${event.type} of ${run.id}, which finished at ${run.finishedAt}`
  })
  switch (event.type) {
    case 'run.extended':
      ledger.check(run.open, 'a sealed run takes no tasks', () => run.id)
      for (const file of event.files) run.tasks.push(newTask(file, false))
      return
    case 'run.sealed':
      run.open = false
      return
    case 'run.paused':
      run.paused = true
      return
    case 'run.resumed':
      run.paused = false
      return
    case 'run.cancelled':
      run.cancelled = true
      run.open = false
      return
    case 'run.errored':
      run.errors += 1
      return
    case 'run.finished':
      return finished(ledger, run, event.verdict)
    case 'run.forgotten':
      run.forgotten = true
      if (run.key !== undefined) ledger.keys.delete(run.key)
      return
    case 'batch.assigned':
      return assigned(ledger, run, event)
    case 'batch.ended':
      return batchEnded(ledger, run, event)
    case 'task.started':
      return started(ledger, run, event)
    case 'task.reported':
      return reported(ledger, run, event)
    case 'task.requeued':
      return requeued(ledger, run, event)
    case 'task.unblocked':
      for (const index of event.tasks) if (run.tasks[index]?.state === 'blocked') run.tasks[index].state = 'queued'
      return
    case 'task.ended':
      return taskEnded(ledger, run, event)
    default:
  }
}

function newTask(file: string, after: boolean): BookTask {
  return {
    file,
    after,
    state: after ? 'blocked' : 'queued',
    batch: undefined,
    batchMax: 0,
    attempts: [],
    requeued: [],
    crashedAlone: 0,
    notBeforeMs: 0,
    why: undefined,
  }
}

function submitted(ledger: Books, event: Extract<Event, { type: 'run.submitted' }>): void {
  ledger.check(!ledger.runs.has(event.run), 'a run is submitted once', () => event.run)
  if (event.key !== undefined) {
    ledger.check(!ledger.keys.has(event.key), 'a key makes one run', () => {
      return `key ${event.key} made ${ledger.keys.get(event.key!)} and makes ${event.run}`
    })
    ledger.keys.set(event.key, event.run)
  }
  const behind = new Set(event.dependencies?.filter(({ after }) => after.length > 0).map(({ task }) => task))
  ledger.runs.set(event.run, {
    id: event.run,
    key: event.key,
    submittedAt: ledger.position,
    spec: event.spec,
    tasks: event.files.map((file, index) => newTask(file, behind.has(index))),
    paused: false,
    open: event.spec.open,
    cancelled: false,
    finishedAt: undefined,
    verdict: undefined,
    forgotten: false,
    errors: 0,
  })
}

function finished(ledger: Books, run: BookRun, verdict: string): void {
  const left = run.tasks.findIndex((task) => !isEnd(task.state))
  ledger.check(left === -1, 'a run finishes when all its tasks have', () => {
    return `${run.id} finished ${verdict} while task ${left} is ${run.tasks[left]!.state}`
  })
  const states = new Set(run.tasks.map((task) => task.state))
  const expected = states.has('lost')
    ? 'incomplete'
    : states.has('failed') || run.errors > 0
      ? 'failed'
      : states.has('timed-out')
        ? 'timed-out'
        : states.has('cancelled') || run.cancelled
          ? 'cancelled'
          : run.tasks.length === 0
            ? 'empty'
            : 'passed'
  ledger.check(verdict === expected, 'the verdict follows from the tasks', () => {
    return `${run.id} finished ${verdict}; its tasks (${[...states].join(', ')}) say ${expected}`
  })
  run.finishedAt = ledger.position
  run.verdict = verdict
}
