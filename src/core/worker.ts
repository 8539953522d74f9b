/** The worker family: joining, draining, leaving, and what becomes of the work of one that is gone. */
import { withCardsToGive } from './cards.ts'
import type { Event, WorkerJoined, WorkerRecycled, WorkerRecycling } from './events.ts'
import { emptyHeld, noteFree, offer } from './holdings.ts'
import { Refused, type Drain, type Join, type Leave, type Recycled } from './input.ts'
import { recoveriesOf } from './recovery.ts'
import { giveUp, mayRetry, requeue } from './retry.ts'
import type { Batch, Run, State, Worker } from './state.ts'
import { TaskDecisions } from './task.ts'

export function stepJoin(state: State, input: Join): readonly Event[] {
  const known = state.workers.get(input.worker)
  const events: Event[] = []
  const capabilities = withCardsToGive(input.capabilities)
  const same =
    known !== undefined &&
    known.version === input.version &&
    known.name === input.name &&
    JSON.stringify(known.capabilities) === JSON.stringify(capabilities)
  if (!same) {
    const { worker, name, version } = input
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

export function stepLeave(state: State, input: Leave, nowMs: number): readonly Event[] {
  const worker = state.workers.get(input.worker)
  if (!worker) return []
  const events: Event[] = []
  for (const id of worker.batches) {
    const batch = state.batches.get(id)!
    const run = state.runs.get(batch.run)!
    const decisions = decideLost(state, worker, batch, run, input.why, nowMs)
    const recoveries = recoveriesOf(state, batch, decisions.blamed, { wallMs: Math.max(0, nowMs - batch.assignedAtMs) })
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
      ...(recoveries.length === 0 ? {} : { recoveries }),
    })
    events.push(...decisions.events())
  }
  events.push({ type: 'worker.left', worker: worker.id, why: input.why })
  return events
}

/** What becomes of the tasks that it held. */
function decideLost(
  state: State,
  worker: Worker,
  batch: Batch,
  run: Run,
  reason: string,
  nowMs: number,
): TaskDecisions {
  const decisions = new TaskDecisions(run.id)
  for (const index of batch.tasks) {
    const task = run.tasks[index]!
    if (task.batch !== batch.id || (task.state !== 'assigned' && task.state !== 'running')) continue
    const words = `worker ${worker.name} was lost (${reason})`
    if (run.cancelled) decisions.end(index, 'cancelled', run.cancelled.why)
    else if (mayRetry(state, run, task, 'lost')) {
      const innocent = task.state === 'assigned'
      const batchMax = task.losses > 0 && !innocent ? 1 : 0
      requeue(decisions, state, run, batch, index, { cause: 'lost', words, innocent, batchMax }, nowMs)
    } else giveUp(decisions, state, task, index, 'lost', 'lost', words)
  }
  return decisions
}

export function stepRecycled(state: State, input: Recycled): readonly Event[] {
  const worker = state.workers.get(input.worker)
  if (worker?.recycling?.id !== input.id) return []
  return [{ type: 'worker.recycled', worker: input.worker, id: input.id }]
}

export function applyRecycling(state: State, event: WorkerRecycling, atMs: number): void {
  const worker = state.workers.get(event.worker)!
  state.recycles = event.id
  state.recycling.add(event.worker)
  worker.recycling = { id: event.id, sinceMs: atMs, untilMs: event.untilMs }
  worker.recycledAtMs = atMs
}

export function applyRecycled(state: State, event: WorkerRecycled, atMs: number): void {
  const worker = state.workers.get(event.worker)!
  worker.recycledMs = Math.max(0, atMs - worker.recycling!.sinceMs)
  worker.recycling = undefined
  state.recycling.delete(event.worker)
}

export function applyJoined(state: State, event: WorkerJoined): void {
  state.fleetVersion += 1
  const known = state.workers.get(event.worker)
  if (known) {
    known.name = event.name
    known.version = event.version
    offer(state, known, event.capabilities)
    return
  }
  const worker: Worker = {
    id: event.worker,
    name: event.name,
    version: event.version,
    capabilities: event.capabilities,
    draining: false,
    recycling: undefined,
    recycledAtMs: 0,
    recycledMs: 0,
    cpusUsed: 0,
    batches: new Set(),
    held: emptyHeld(),
    warm: [],
  }
  state.workers.set(worker.id, worker)
  noteFree(state, worker)
}
