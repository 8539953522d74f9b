/**
 * Messages and summaries as reporters for people get them: names of files may have line ends and what a terminal obeys,
 * which are written out; of those of workers it is left out. Reports for programs get the exact names.
 */
import type { FeedMessage, RunningTask, RunView } from '../../protocol/run-view.ts'
import { escapedName, plainText } from '../../stdx/plain-text.ts'
import type { RunSummary } from './reporter.ts'

export function readableMessage(message: FeedMessage): FeedMessage {
  switch (message.type) {
    case 'snapshot':
      return { ...message, run: readableRun(message.run), running: message.running.map(readableTask) }
    case 'run':
    case 'end':
      return { ...message, run: readableRun(message.run) }
    case 'task-started':
      return { ...message, tasks: message.tasks.map(readableTask) }
    case 'task-ended':
    case 'test':
      return readable(message)
    default:
      return message
  }
}

export function readableSummary(summary: RunSummary): RunSummary {
  return {
    ...summary,
    run: readableRun(summary.run),
    failures: allReadable(summary.failures),
    flaky: allReadable(summary.flaky),
    slowest: allReadable(summary.slowest),
    unfinished: allReadable(summary.unfinished),
    notRun: allReadable(summary.notRun),
  }
}

function readableRun(run: RunView): RunView {
  const workers = run.workers.map((worker) => ({ ...worker, name: plainText(worker.name) }))
  // Which workers are in the way, by their names.
  return { ...run, workers, ...(run.reason === undefined ? {} : { reason: plainText(run.reason) }) }
}

function readableTask(task: RunningTask): RunningTask {
  return readable({ ...task, workerName: plainText(task.workerName) })
}

function allReadable<T extends { readonly file: string }>(all: readonly T[]): readonly T[] {
  return all.map((one) => readable(one))
}

/** Itself, where nothing has to be written out. */
function readable<T extends { readonly file: string }>(one: T): T {
  const file = escapedName(one.file)
  return file === one.file ? one : { ...one, file }
}
