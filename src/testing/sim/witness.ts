/** From what workers do and are told to what checks it; and which rare states the log itself shows. */
import type { Event } from '../../core/events.ts'
import type { Checker } from './checker.ts'
import type { Counters } from './counters.ts'
import type { PhysicalWatch } from './physical.ts'
import type { WorkerWitness } from './sim-worker.ts'
import type { Trace } from './trace.ts'

type Witnesses = {
  readonly checker: Checker
  readonly physical: PhysicalWatch
  readonly trace: Trace
  readonly count: Counters
  /** Workers on which no framework starts. */
  readonly broken: ReadonlySet<string>
}

/** What the workers of this host see, told to whoever checks it. */
export function witnessOf(name: string, { checker, physical, trace, count, broken }: Witnesses): WorkerWitness {
  return {
    attemptOf: (assign, task) => {
      const attempts = checker.ledger.runs.get(assign.run)?.tasks[task]?.attempts
      return attempts?.find((attempt) => attempt.token === assign.token)?.number
    },
    starts: (assign) => {
      const suiteBroken = checker.ledger.runs.get(assign.run)?.spec.suite === 'broken'
      return !suiteBroken && !broken.has(name)
    },
    jobBegan: (job) => physical.jobBegan(job),
    jobEnded: (job) => physical.jobEnded(job),
    taskBegan: (job, task) => physical.taskBegan(job, task),
    taskEnded: (job, task) => physical.taskEnded(job, task),
    taskReported: (job, task, outcome) => physical.taskReported(job, task, outcome),
    assigned: (worker, batch, token) => checker.assigned(worker, batch, token),
    acknowledged: (worker, seq, messages) => {
      trace.note(name, () => `is told that ${seq} is recorded`)
      checker.reportsAcknowledged(worker, messages)
    },
    abandoned: (worker, batch, token) => {
      trace.note(name, () => `abandons ${batch}`)
      count.reached('worker abandoned a batch')
      checker.abandoned(worker, batch, token)
    },
    welcomed: (worker, epoch) => {
      trace.note(name, () => `${worker} is welcomed in epoch ${epoch}`)
    },
  }
}

export function rareState(event: Event): string | undefined {
  switch (event.type) {
    case 'breaker.moved':
      return `breaker ${event.scope.split(':')[0]!} ${event.to}`
    case 'task.requeued':
      return `requeued: ${event.level ?? event.cause}`
    case 'task.ended':
      return `task ended: ${event.state}`
    case 'task.unblocked':
      return 'what comes after begins'
    case 'batch.assigned':
      return event.grant?.gpus === undefined ? undefined : 'cards granted'
    case 'run.submitted':
      return event.spec.needs?.some((need) => need.locks !== undefined) ? 'run with locks' : undefined
    case 'scheduler.chosen':
      return `scheduler chosen: ${event.strategy ?? 'default'}`
    case 'scheduler.faulted':
      return event.suspended ? 'scheduler suspended' : `scheduler at fault: ${event.kind}`
    case 'batch.ended':
      return `batch ended: ${event.reason}`
    default:
      return event.type.startsWith('dead-letter.') ? event.type : undefined
  }
}
