/**
 * From a worker's words to inputs: counts for the log, everything bulky into blobs first, so that a
 * committed event never names something that isn't there.
 */
import { promisify } from 'node:util'
import { zstdCompress, zstdCompressSync, zstdDecompress } from 'node:zlib'
import type { Blobs } from '../blobs/blobs.ts'
import type { Counts } from '../core/entities.ts'
import type { TaskReport } from '../core/events.ts'
import type { End, Report } from '../core/input.ts'
import { countTests, type TaskResult } from '../protocol/results.ts'
import type { Ended, Reported } from '../protocol/worker-messages.ts'

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)
/** Below this the call to a pool thread costs more than the work. */
const compressInlineBytes = 32 * 1024

async function putText(blobs: Blobs, text: string): Promise<string> {
  const bytes = Buffer.from(text)
  return blobs.put(bytes.length <= compressInlineBytes ? zstdCompressSync(bytes) : await compress(bytes))
}

export async function getText(blobs: Blobs, key: string): Promise<string | undefined> {
  const bytes = await blobs.get(key)
  return bytes === undefined ? undefined : (await decompress(bytes)).toString('utf8')
}

export async function reportInput(worker: string, message: Reported, blobs: Blobs): Promise<Report> {
  const reports: TaskReport[] = []
  const lines: string[] = []
  for (const { task, result } of message.results) {
    const { passed, failed, flaky, skipped } = countTests(result.tests)
    const counts: Counts = [passed, failed, flaky, skipped]
    reports.push({ task, outcome: result.outcome, durationMs: result.durationMs, counts })
    lines.push(JSON.stringify(result))
  }
  for (const [task, outcome, durationMs] of message.plain ?? []) {
    const known = outcome === 'failed' || outcome === 'skipped' ? outcome : 'passed'
    reports.push({ task, outcome: known, durationMs, counts: [0, 0, 0, 0] })
  }
  const { batch, token } = message
  const results = lines.length === 0 ? undefined : await putText(blobs, `${lines.join('\n')}\n`)
  return { type: 'report', worker, batch, token, reports, ...(results === undefined ? {} : { results }) }
}

export async function endInput(worker: string, message: Ended, blobs: Blobs): Promise<End> {
  const { batch, token, reason, exitCode, signal, startupMs, wallMs, interrupted, timedOut } = message
  const output =
    message.output === undefined || message.output === '' ? undefined : await putText(blobs, message.output)
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
    errors: message.errors.map((error) =>
      error.stack === undefined ? error.message : `${error.message}\n${error.stack}`,
    ),
    ...(message.usage === undefined ? {} : { usage: message.usage }),
    ...(output === undefined ? {} : { output }),
    ...(message.message === undefined ? {} : { message: message.message }),
  }
}

/** The results of one report, in its order; tasks reported in the short form come last, without a line. */
export async function readResults(blobs: Blobs, key: string): Promise<TaskResult[]> {
  const text = await getText(blobs, key)
  if (text === undefined) return []
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TaskResult)
}
