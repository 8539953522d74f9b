/** A worker's report as an input, for a coordinator without blobs: what is bulky is left out. */
import type { ReportMessage } from '../../coordinator/worker-sessions.ts'
import type { Input } from '../../core/input.ts'

export function plainInput(worker: string, message: ReportMessage): Input {
  const { batch, token } = message
  if (message.type === 'reported') {
    const reports = (message.plain ?? []).map(([task, outcome, durationMs]) => ({
      task,
      outcome: outcome as 'passed' | 'failed' | 'skipped',
      durationMs,
      counts: [0, 0, 0, 0] as const,
    }))
    return { type: 'report', worker, batch, token, reports }
  }
  const { reason, exitCode, signal, startupMs, wallMs, interrupted, timedOut } = message
  return {
    type: 'end',
    worker,
    batch,
    token,
    reason,
    exitCode,
    signal,
    startupMs,
    wallMs,
    interrupted,
    timedOut,
    errors: [],
    ...(message.usage === undefined ? {} : { usage: message.usage }),
    ...(message.message === undefined ? {} : { message: message.message }),
  }
}
