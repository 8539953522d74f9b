/** The worker family: joining, draining, leaving, and what becomes of the work of one that is gone. */
import type { Event, WorkerJoined } from './events.ts'
import { Refused, type Drain, type Join, type Leave } from './input.ts'
import type { State } from './state.ts'
import { TaskDecisions } from './task.ts'

export function stepJoin(state: State, input: Join): readonly Event[] {
  const known = state.workers.get(input.worker)
  const events: Event[] = []
  const same =
    known !== undefined &&
    known.version === input.version &&
    JSON.stringify(known.capabilities) === JSON.stringify(input.capabilities)
  if (!same) {
    if (known && input.capabilities.cpus < known.cpusUsed) {
      throw new Refused(
        'conflict',
        `worker ${input.worker} holds work for ${known.cpusUsed} CPUs and now has ${input.capabilities.cpus}`,
      )
    }
    const { worker, name, version, capabilities } = input
    events.push({ type: 'worker.joined', worker, name, version, capabilities })
  }
  if (input.draining && !known?.draining) {
    events.push({
      type: 'worker.drained',
      worker: input.worker,
      who: `worker:${input.worker}`,
      why: 'it is shutting down',
    })
  }
  return events
}

export function stepDrain(state: State, input: Drain): readonly Event[] {
  const worker = state.workers.get(input.worker)
  if (!worker) throw new Refused('not_found', `no worker ${input.worker}`)
  return worker.draining ? [] : [{ type: 'worker.drained', worker: worker.id, who: input.who, why: input.why }]
}

export function stepLeave(state: State, input: Leave): readonly Event[] {
  const worker = state.workers.get(input.worker)
  if (!worker) return []
  const events: Event[] = []
  for (const id of worker.batches) {
    const batch = state.batches.get(id)!
    const run = state.runs.get(batch.run)!
    events.push({
      type: 'batch.ended',
      batch: id,
      run: run.id,
      worker: worker.id,
      who: 'coordinator',
      reason: 'lost',
      exitCode: null,
      signal: null,
      startupMs: null,
      wallMs: 0,
      message: input.why,
    })
    const decisions = new TaskDecisions(run.id)
    for (const index of batch.tasks) {
      const task = run.tasks[index]!
      if (task.batch !== id || (task.state !== 'assigned' && task.state !== 'running')) continue
      const why = `worker ${worker.name} was lost (${input.why})`
      if (run.cancelled) decisions.end(index, 'cancelled', run.cancelled.why)
      else if (task.losses >= state.limits.lostRetriesMax) decisions.end(index, 'lost', why)
      else decisions.requeue(index, 'lost', why, task.losses > 0 && task.state === 'running' ? 1 : 0)
    }
    events.push(...decisions.events())
  }
  events.push({ type: 'worker.left', worker: worker.id, why: input.why })
  return events
}

export function applyJoined(state: State, event: WorkerJoined): void {
  const known = state.workers.get(event.worker)
  if (known) {
    known.name = event.name
    known.version = event.version
    known.capabilities = event.capabilities
    return
  }
  state.workers.set(event.worker, {
    id: event.worker,
    name: event.name,
    version: event.version,
    capabilities: event.capabilities,
    draining: false,
    cpusUsed: 0,
    batches: new Set(),
  })
}
