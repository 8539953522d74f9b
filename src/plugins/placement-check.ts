/** What a plugin yields, read into a plain object: whatever it is, nothing of the plugin's reaches the core. */
import type { Placement } from '../scheduling/ordering.ts'

const tasksMax = 100_000
const whyMax = 500

/** Called within the guard: reading a plugin's object may run its code. */
export function readPlacement(value: unknown): Placement | { readonly fault: string } {
  if (typeof value !== 'object' || value === null)
    return { fault: `expected a placement { run, worker, tasks, cpus, why }, received ${String(value)}` }
  const { run, worker, tasks, cpus, grant, why } = value as { readonly [key: string]: unknown }
  if (typeof run !== 'string') return { fault: `placement.run: expected the id of a run, received ${String(run)}` }
  if (typeof worker !== 'string')
    return { fault: `placement.worker: expected the id of a worker, received ${String(worker)}` }
  const indexes: readonly unknown[] = Array.isArray(tasks) ? [...(tasks as readonly unknown[])] : []
  if (indexes.length === 0 || indexes.length > tasksMax)
    return { fault: `placement.tasks: expected a list of numbers of tasks, 1 to ${tasksMax} of them` }
  for (const index of indexes) {
    if (!Number.isSafeInteger(index) || (index as number) < 0)
      return { fault: `placement.tasks: expected numbers of tasks, received ${String(index)}` }
  }
  if (!Number.isSafeInteger(cpus)) return { fault: `placement.cpus: expected a whole number, received ${String(cpus)}` }
  const granted = readGrant(grant)
  if (granted !== undefined && 'fault' in granted) return granted
  const plain = {
    run,
    worker,
    tasks: indexes as number[],
    cpus: cpus as number,
    why: typeof why === 'string' ? why.slice(0, whyMax) : 'a plugin placed it',
  }
  return granted === undefined ? plain : { ...plain, grant: granted }
}

function readGrant(value: unknown): Placement['grant'] | { readonly fault: string } {
  if (value === undefined) return undefined
  if (typeof value !== 'object' || value === null) return { fault: 'placement.grant: expected an object' }
  const { memoryBytes, gpus } = value as { readonly [key: string]: unknown }
  if (memoryBytes !== undefined && !Number.isSafeInteger(memoryBytes))
    return { fault: 'placement.grant.memoryBytes: expected a whole number' }
  if (gpus !== undefined && !(Array.isArray(gpus) && gpus.every((id) => typeof id === 'string')))
    return { fault: 'placement.grant.gpus: expected ids of GPUs' }
  return {
    ...(memoryBytes === undefined ? {} : { memoryBytes: memoryBytes as number }),
    ...(gpus === undefined ? {} : { gpus: [...(gpus as readonly string[])] }),
  }
}
