/** The ledger's books of batches, tasks and attempts: one function per kind of event. */
import type { Event } from '../../core/events.ts'
import type { BookBatch, BookRun, BookTask, Books } from './book-types.ts'

const terminal = new Set(['passed', 'failed', 'flaky', 'skipped', 'timed-out', 'cancelled', 'lost', 'quarantined'])
export const isEnd = (state: string): boolean => terminal.has(state)

export function assigned(ledger: Books, run: BookRun, event: Extract<Event, { type: 'batch.assigned' }>): void {
  const { batch, token, tasks, cpus } = event
  ledger.check(token > ledger.lastToken, 'tokens only grow', () => `${ledger.lastToken}, then ${token}`)
  ledger.lastToken = Math.max(ledger.lastToken, token)
  ledger.check(!ledger.batches.has(batch), 'a batch is assigned once', () => batch)
  ledger.check(!run.paused && !run.cancelled, 'only running runs are given work', () => `${batch} of ${run.id}`)
  const worker = ledger.workers.get(event.worker)
  ledger.check(worker !== undefined && !worker.draining, 'work goes to workers that take it', () => {
    return `${batch} went to ${event.worker}, which ${worker ? 'drains' : 'is not there'}`
  })
  if (worker) {
    worker.cpusUsed += cpus
    worker.batches.add(batch)
    ledger.check(worker.cpusUsed <= worker.cpus, 'capacity is kept', () => {
      return `${worker.id} has ${worker.cpus} CPUs and is given ${worker.cpusUsed}`
    })
  }
  ledger.check(tasks.length > 0 && new Set(tasks).size === tasks.length, 'a batch has different tasks', () => batch)
  const book: BookBatch = {
    id: batch,
    run: run.id,
    worker: event.worker,
    token,
    cpus,
    tasks,
    assignedAt: ledger.position,
    endedAt: undefined,
    endedBy: undefined,
  }
  ledger.batches.set(batch, book)
  ledger.breakers.assigned(run, book)
  for (const index of tasks) {
    const task = run.tasks[index]
    ledger.check(task?.state === 'queued', 'only queued tasks are assigned', () => {
      return `${run.id}/${index} is ${task?.state ?? 'unknown'} and assigned in ${batch}`
    })
    if (!task) continue
    ledger.check(task.batchMax === 0 || tasks.length <= task.batchMax, 'suspects run in small batches', () => {
      return `${run.id}/${index} wants at most ${task.batchMax}, and ${batch} has ${tasks.length}`
    })
    ledger.check(task.notBeforeMs <= ledger.atMs, 'a back-off is waited out', () => {
      return `${run.id}/${index} was to wait ${task.notBeforeMs - ledger.atMs} ms more`
    })
    task.state = 'assigned'
    task.batch = batch
    const number = task.attempts.length + 1
    task.attempts.push({
      number,
      batch,
      token,
      worker: event.worker,
      begun: false,
      ended: undefined,
      reported: false,
    })
  }
}

/** The batch, if it is the worker's and under way. */
function openBatch(
  ledger: Books,
  event: { readonly type: string; readonly batch: string; readonly worker: string },
): BookBatch | undefined {
  const batch = ledger.batches.get(event.batch)
  ledger.check(batch?.worker === event.worker, 'only its own worker speaks for a batch', () => {
    return `${event.type} of ${event.batch} by ${event.worker}; it is ${batch?.worker ?? 'nobody'}'s`
  })
  ledger.check(batch?.endedAt === undefined, 'nothing of a batch follows its end', () => {
    return `${event.type} of ${event.batch}, which ended at ${batch?.endedAt}`
  })
  return batch
}

export function started(ledger: Books, run: BookRun, event: Extract<Event, { type: 'task.started' }>): void {
  openBatch(ledger, event)
  for (const index of event.tasks) {
    const task = run.tasks[index]
    ledger.check(task?.state === 'assigned' && task.batch === event.batch, 'a task starts after its assignment', () => {
      return `${run.id}/${index} started in ${event.batch}; it is ${task?.state} in ${task?.batch}`
    })
    if (!task) continue
    task.state = 'running'
    const attempt = task.attempts.at(-1)
    if (attempt) attempt.begun = true
  }
}

export function reported(ledger: Books, run: BookRun, event: Extract<Event, { type: 'task.reported' }>): void {
  openBatch(ledger, event)
  for (const report of event.reports) {
    const task = run.tasks[report.task]
    const open =
      task !== undefined && task.batch === event.batch && (task.state === 'assigned' || task.state === 'running')
    ledger.check(open, 'a report ends the current attempt', () => {
      return `${run.id}/${report.task} was reported in ${event.batch}; it is ${task?.state} in ${task?.batch}`
    })
    if (!task) continue
    const attempt = task.attempts.at(-1)
    if (!attempt) continue
    ledger.check(
      attempt.ended === undefined,
      'an attempt ends once',
      () => `${run.id}/${report.task} #${attempt.number}`,
    )
    attempt.ended = report.outcome
    attempt.reported = true
    task.state = 'reported'
    ledger.undecided.add(`${run.id}/${report.task}`)
  }
}

export function batchEnded(ledger: Books, run: BookRun, event: Extract<Event, { type: 'batch.ended' }>): void {
  const batch = openBatch(ledger, event)
  if (!batch) return
  batch.endedAt = ledger.position
  batch.endedBy = event.who
  ledger.breakers.ended(batch.id)
  const worker = ledger.workers.get(batch.worker)
  if (worker) {
    worker.batches.delete(batch.id)
    worker.cpusUsed -= batch.cpus
  }
  for (const index of batch.tasks) {
    const task = run.tasks[index]!
    if (task.batch !== batch.id || (task.state !== 'assigned' && task.state !== 'running')) continue
    const attempt = task.attempts.at(-1)
    if (!attempt) continue
    ledger.check(attempt.ended === undefined, 'an attempt ends once', () => `${run.id}/${index} #${attempt.number}`)
    attempt.ended = event.reason
    task.state = 'released'
    ledger.undecided.add(`${run.id}/${index}`)
  }
}

export function requeued(ledger: Books, run: BookRun, event: Extract<Event, { type: 'task.requeued' }>): void {
  for (const index of event.tasks) {
    const task = run.tasks[index]
    const over = task?.state === 'reported' || task?.state === 'released'
    ledger.check(over, 'only a task whose attempt is over is queued again', () => {
      return `${run.id}/${index} is ${task?.state}`
    })
    if (!task) continue
    ledger.undecided.delete(`${run.id}/${index}`)
    task.state = 'queued'
    task.batch = undefined
    task.batchMax = event.batchMax
    task.requeued.push(event.cause)
    task.notBeforeMs = event.notBeforeMs ?? 0
    if (event.cause === 'crashed' && ledger.batches.get(task.attempts.at(-1)?.batch ?? '')?.tasks.length === 1) {
      task.crashedAlone += 1
    }
    const spent = overspent(ledger, run, task)
    ledger.check(spent === undefined, 'retries are bounded', () => `${run.id}/${index} was queued again ${spent}`)
  }
}

/** Where no policy says more, `retries` bounds failures and time-outs together, and the coordinator's limit what was lost. */
function overspent(ledger: Books, run: BookRun, task: BookTask): string | undefined {
  const { retry, retries } = run.spec
  const times = (...causes: string[]): number => task.requeued.filter((cause) => causes.includes(cause)).length
  const own = (cause: 'failed' | 'timed-out' | 'lost' | 'infrastructure' | 'crashed'): boolean =>
    retry?.[cause]?.max !== undefined
  const failed = times('failed', 'timed-out')
  if (!own('failed') && !own('timed-out') && failed > retries) return `${failed} times for failing, ${retries} allowed`
  const lost = times('lost', 'infrastructure')
  const { lostRetriesMax } = ledger.limits
  if (!own('lost') && !own('infrastructure') && lost > lostRetriesMax) {
    return `${lost} times for being lost, ${lostRetriesMax} allowed`
  }
  if (!own('crashed') && task.crashedAlone > retries)
    return `${task.crashedAlone} times for crashing, ${retries} allowed`
  return undefined
}

export function taskEnded(ledger: Books, run: BookRun, event: Extract<Event, { type: 'task.ended' }>): void {
  for (const index of event.tasks) {
    const task = run.tasks[index]
    ledger.check(task !== undefined && !isEnd(task.state), 'a task ends once', () => {
      return `${run.id}/${index} is ${task?.state} and ends ${event.state}`
    })
    if (!task) continue
    const early = task.state === 'queued' || task.state === 'blocked'
    ledger.check(
      !early ||
        ['cancelled', 'lost', 'failed'].includes(event.state) ||
        (task.state === 'blocked' && event.state === 'skipped'),
      'a waiting task has no result',
      () => {
        return `${run.id}/${index} was ${task.state} and ends ${event.state}`
      },
    )
    const over = early || task.state === 'reported' || task.state === 'released'
    ledger.check(over, "a task ends after its attempt's end", () => `${run.id}/${index} is ${task.state}`)
    ledger.undecided.delete(`${run.id}/${index}`)
    task.state = event.state
    task.batch = undefined
    task.why = event.why
    ledger.onTaskEnded(run, index)
  }
}
