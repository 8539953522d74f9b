/**
 * What a submission says of its tasks' needs, order and deadline, as the core takes it: names of files become
 * indices, durations become times. Each mistake names its place in the body; what only the core can know, it refuses
 * itself.
 */
import type { RunSpec, TaskDependency } from '../core/entities.ts'
import type { ActionBody, SubmitBody } from '../protocol/api.ts'
import { deadlineAtMs } from '../protocol/deadline.ts'
import { MusterError } from '../protocol/errors.ts'
import { expressionFault } from '../protocol/expression-fault.ts'
import { priorityNames, priorityOf } from '../protocol/priority.ts'

type Specified = Pick<RunSpec, 'needs' | 'deadlineAtMs' | 'after' | 'onDependencyFailure'>

export function needsOf(body: SubmitBody, nowMs: number): Specified {
  const { needs, deadline, after, onDependencyFailure } = body
  for (const [at, need] of (needs ?? []).entries()) {
    const fault = need.where === undefined ? undefined : expressionFault(need.where)
    if (fault !== undefined) throw invalid(`needs[${at}].where: ${fault}`)
  }
  return {
    ...(needs === undefined ? {} : { needs }),
    ...(deadline === undefined ? {} : { deadlineAtMs: deadlineOf(deadline, nowMs) }),
    ...(after === undefined || after.length === 0
      ? {}
      : { after: after.map(({ run, when = 'passed' }) => ({ run, when })) }),
    ...(onDependencyFailure === undefined ? {} : { onDependencyFailure }),
  }
}

function deadlineOf(text: string, nowMs: number): number {
  const atMs = deadlineAtMs(text, nowMs)
  if (atMs !== undefined) return atMs
  throw invalid(
    `deadline: expected a time with its zone (2026-11-22T14:00:00Z) or a duration (20m), received '${text}'`,
  )
}

export function priorityOfBody({ priority = 0 }: Pick<SubmitBody | ActionBody, 'priority'>): number {
  const number = priorityOf(priority)
  if (number !== undefined) return number
  const names = Object.keys(priorityNames).join(', ')
  throw invalid(`priority: expected ${names} or a whole number from -1000 to 1000, received '${priority}'`)
}

/** Of files, by name or by index, in indices. */
export function dependenciesOf({ files, dependencies }: SubmitBody): readonly TaskDependency[] | undefined {
  if (dependencies === undefined || dependencies.length === 0) return undefined
  const indices = new Map(files.map((file, index) => [file, index]))
  const indexOf = (given: string | number, place: string): number => {
    if (typeof given === 'number') return given
    const index = indices.get(given)
    if (index === undefined) throw invalid(`${place}: expected one of the submitted files, received '${given}'`)
    return index
  }
  return dependencies.map(({ task, after }, at) => ({
    task: indexOf(task, `dependencies[${at}].task`),
    after: after.map((one, place) => indexOf(one, `dependencies[${at}].after[${place}]`)),
  }))
}

function invalid(message: string): MusterError {
  return new MusterError('request_invalid', message)
}
