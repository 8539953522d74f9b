/**
 * Final failures, of tests and of files themselves, as screens, `--json` and notifications show them.
 * A failure of the file itself has an empty name; files that timed out or were lost are among them
 * (`errors[0].type` is then `timed-out` or `lost`), because they too are why a run is not green.
 * Cancelled files are not failures.
 */
import type { Failure } from '../protocol/run-view.ts'
import type { TestError } from '../protocol/results.ts'
import { mergedTasks } from './merge.ts'
import type { MergedTask, Records } from './merge.ts'

export async function collectFailures(records: Records): Promise<Failure[]> {
  const failures: Failure[] = []
  for await (const task of mergedTasks(records)) failures.push(...failuresOf(task))
  return failures
}

export function failuresOf(task: MergedTask): Failure[] {
  const failures: Failure[] = []
  const worker = task.workerName === undefined ? {} : { worker: task.workerName }
  if (task.itself.status === 'failed') {
    const line = lineOf(task.itself.errors, task.file)
    const { errors } = task.itself
    failures.push({
      file: task.file,
      name: [],
      ...(line !== undefined && { line }),
      ...worker,
      attempt: task.attempt,
      errors,
    })
  }
  for (const test of task.tests) {
    if (test.status !== 'failed') continue
    const errors = test.errors ?? []
    const line = lineOf(errors, task.file) ?? test.line
    failures.push({
      file: task.file,
      name: test.name,
      ...(test.project !== undefined && { project: test.project }),
      ...(line !== undefined && { line }),
      worker: test.workerName,
      attempt: test.attempt,
      errors,
    })
  }
  return failures
}

/** Where it failed, when that is in the file itself; a line of another file would mislead. */
function lineOf(errors: readonly TestError[], file: string): number | undefined {
  for (const error of errors) {
    if (error.line === undefined) continue
    if (error.file === undefined || error.file === file || error.file.endsWith(`/${file}`)) return error.line
  }
  return undefined
}
