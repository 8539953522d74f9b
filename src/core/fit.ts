/** Which worker may run what, as far as it follows from what is known of both; being busy is another matter. */
import { attributesOf } from './attributes.ts'
import type { Avoid, Capabilities, Gpu, GpuNeed, Need, RetryWhere, RunSpec } from './entities.ts'
import { holds, parseExpression, type Expression } from './expression.ts'
import type { Group, Run, State, Worker } from './state.ts'

/** Whether the worker could ever run tasks of the group, be it busy or not. */
export function fits(run: Run, group: Group, worker: Worker): boolean {
  return fitsRun(run, worker) && fitsNeed(run, group.need, worker)
}

/** As far as it is the same for all tasks of the run. */
export function fitsRun(run: Run, worker: Worker): boolean {
  if (worker.draining) return false
  const { workspace, labels } = run.spec
  if (workspace.type === 'in-place' && workspace.host !== worker.capabilities.host) return false
  for (const key in labels) if (worker.capabilities.labels[key] !== labels[key]) return false
  return true
}

/** Whether it has, as a whole, what a batch of this need takes. */
export function fitsNeed(run: Run, need: Need, worker: Worker): boolean {
  const { capabilities } = worker
  if (need.cpus !== undefined && need.cpus > capabilities.cpus) return false
  if (need.memoryBytes !== undefined && need.memoryBytes > capabilities.memoryBytes) return false
  if (need.gpus !== undefined && countFitting(need.gpus, capabilities.gpus) < need.gpus.count) return false
  for (const name in need.resources)
    if (!(ownNumber(capabilities.resources, name) >= need.resources[name]!)) return false
  return need.where === undefined || isThere(need.where, worker)
}

function countFitting(need: GpuNeed, gpus: readonly Gpu[] = []): number {
  let count = 0
  for (const gpu of gpus) if (gpuFits(need, gpu)) count += 1
  return count
}

export function gpuFits(need: GpuNeed, gpu: Gpu): boolean {
  return (
    (need.vendor === undefined || need.vendor === gpu.vendor) &&
    (need.memoryBytes === undefined || need.memoryBytes <= gpu.memoryBytes)
  )
}

/** Expressions by their text; they are few, and were parsed once before when they were submitted. */
const parsed = new Map<string, Expression>()
const parsedMax = 10_000
const answersMax = 1000
/** What an expression says of a worker stays the same for as long as its capabilities are. */
const answers = new WeakMap<Capabilities, { readonly name: string; readonly byText: Map<string, boolean> }>()

function isThere(where: string, worker: Worker): boolean {
  let known = answers.get(worker.capabilities)
  // The name is the worker's own and not one of its capabilities.
  if (known?.name !== worker.name) {
    known = { name: worker.name, byText: new Map() }
    answers.set(worker.capabilities, known)
  }
  const { byText } = known
  let answer = byText.get(where)
  if (answer === undefined) {
    if (byText.size >= answersMax) byText.clear()
    answer = holds(expressionOf(where), attributesOf(worker.capabilities, worker.name))
    byText.set(where, answer)
  }
  return answer
}

function expressionOf(where: string): Expression {
  let expression = parsed.get(where)
  if (!expression) {
    if (parsed.size >= parsedMax) parsed.clear()
    expression = parseExpression(where)
    parsed.set(where, expression)
  }
  return expression
}

/** Machines that are alike: system, architecture, CPUs, and the label `class` if there is one. */
export function machineClass(capabilities: Capabilities): string {
  const { os, arch, cpus, labels } = capabilities
  const own = labels['class']
  return own === undefined ? `${os}-${arch}-${cpus}` : `${os}-${arch}-${cpus}-${own}`
}

export function avoids(avoid: Avoid, worker: Worker): boolean {
  if (avoid.workers?.includes(worker.id)) return true
  if (avoid.hosts?.includes(worker.capabilities.host)) return true
  return avoid.classes !== undefined && avoid.classes.includes(machineClass(worker.capabilities))
}

/** What was avoided before and now this worker's part too, the newest `max` of each. */
export function avoidMore(
  before: Avoid | undefined,
  where: Exclude<RetryWhere, 'any'>,
  worker: { readonly id: string; readonly capabilities: Capabilities },
  untilMs: number,
  max: number,
): Avoid {
  const add = (list: readonly string[] | undefined, one: string) =>
    [...(list ?? []).filter((other) => other !== one), one].slice(-max)
  const { workers, hosts, classes } = before ?? {}
  return {
    ...(workers === undefined ? {} : { workers }),
    ...(hosts === undefined ? {} : { hosts }),
    ...(classes === undefined ? {} : { classes }),
    ...(where === 'other-worker' ? { workers: add(workers, worker.id) } : {}),
    ...(where === 'other-host' ? { hosts: add(hosts, worker.capabilities.host) } : {}),
    ...(where === 'other-class' ? { classes: add(classes, machineClass(worker.capabilities)) } : {}),
    untilMs,
  }
}

/** A worker that could run tasks of the group, and that is not avoided. */
export function anotherFits(state: State, run: Run, group: Group, avoid: Avoid): boolean {
  for (const worker of state.workers.values()) if (fits(run, group, worker) && !avoids(avoid, worker)) return true
  return false
}

/** 0 for what is not there, whatever objects have by themselves. */
export function ownNumber(numbers: Readonly<Record<string, number>> | undefined, name: string): number {
  return numbers !== undefined && Object.hasOwn(numbers, name) ? numbers[name]! : 0
}

/** No worker can start its framework: nobody said with which environment, and how it was found. `none` starts nothing. */
export function lacksContext({ context, framework }: RunSpec): boolean {
  return context === '' && framework !== 'none'
}
