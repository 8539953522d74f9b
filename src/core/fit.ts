/** Which worker may run what, as far as it follows from what is known of both; being busy is another matter. */
import type { Avoid, Capabilities, RetryWhere } from './entities.ts'
import type { Run, State, Worker } from './state.ts'

/** Whether the worker could ever run tasks of the run, be it busy or not. */
export function fits(run: Run, worker: Worker): boolean {
  if (worker.draining) return false
  const { workspace, labels } = run.spec
  if (workspace.type === 'in-place' && workspace.host !== worker.capabilities.host) return false
  for (const key in labels) if (worker.capabilities.labels[key] !== labels[key]) return false
  return true
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

/** A worker that could run tasks of the run, and that is not avoided. */
export function anotherFits(state: State, run: Run, avoid: Avoid): boolean {
  for (const worker of state.workers.values()) if (fits(run, worker) && !avoids(avoid, worker)) return true
  return false
}
