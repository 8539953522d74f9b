/**
 * Messages and summaries as reporters for people get them: names of files may have line ends and what a terminal obeys,
 * which are written out. Reports for programs get the exact names.
 */
import type { FeedMessage, RunningTask } from '../../protocol/run-view.ts'
import { escapedName } from '../../stdx/plain-text.ts'
import type { RunSummary } from './reporter.ts'

export function readableMessage(message: FeedMessage): FeedMessage {
  switch (message.type) {
    case 'snapshot':
      return { ...message, running: allReadable<RunningTask>(message.running) }
    case 'task-started':
      return { ...message, tasks: allReadable<RunningTask>(message.tasks) }
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
    failures: allReadable(summary.failures),
    flaky: allReadable(summary.flaky),
    slowest: allReadable(summary.slowest),
    unfinished: allReadable(summary.unfinished),
    notRun: allReadable(summary.notRun),
  }
}

function allReadable<T extends { readonly file: string }>(all: readonly T[]): readonly T[] {
  return all.map((one) => readable(one))
}

/** Itself, where nothing has to be written out. */
function readable<T extends { readonly file: string }>(one: T): T {
  const file = escapedName(one.file)
  return file === one.file ? one : { ...one, file }
}
