/** A run's tasks with every attempt that reported, for reports; and the captured output of its batches. */
import type { Blobs } from '../blobs/blobs.ts'
import type { Report, Run } from '../core/state.ts'
import type { TaskResult } from '../protocol/results.ts'
import type { TaskRecord } from '../protocol/run-view.ts'
import { getText, readResults } from './worker-reports.ts'

type Place = { readonly report: Report; readonly at: number }

/** Blobs kept decoded while records are put together; reports of neighbours usually share one. */
const decodedMax = 64

export async function* taskRecords(run: Run, blobs: Blobs): AsyncGenerator<TaskRecord> {
  const places = new Map<number, Place[]>()
  for (const report of run.reports) {
    for (let at = 0; at < report.tasks.length; at += 1) {
      const index = report.tasks[at]!
      const known = places.get(index)
      if (known) known.push({ report, at })
      else places.set(index, [{ report, at }])
    }
  }
  const decoded = new Map<string, Promise<TaskResult[]>>()
  for (let index = 0; index < run.tasks.length; index += 1) {
    const task = run.tasks[index]!
    const attempts: TaskRecord['attempts'][number][] = []
    for (const { report, at } of places.get(index) ?? []) {
      const durationMs = report.durationsMs[at]!
      const outcome = report.outcomes[at]!
      const full = report.results === undefined ? undefined : (await decode(decoded, blobs, report.results))[at]
      attempts.push({
        attempt: attempts.length + 1,
        worker: report.worker,
        workerName: run.workers.get(report.worker)?.name ?? report.worker,
        outcome,
        startedAtMs: Math.round(report.atMs - durationMs),
        durationMs,
        result: full ?? { file: task.file, outcome, durationMs, tests: [] },
      })
    }
    yield { index, file: task.file, state: task.state, ...(task.why === undefined ? {} : { why: task.why }), attempts }
  }
}

function decode(decoded: Map<string, Promise<TaskResult[]>>, blobs: Blobs, key: string): Promise<TaskResult[]> {
  let results = decoded.get(key)
  if (!results) {
    results = readResults(blobs, key)
    decoded.set(key, results)
    if (decoded.size > decodedMax) decoded.delete(decoded.keys().next().value!)
  }
  return results
}

/** What the run's processes printed, batch by batch; of one task: its tests' output, else its batches'. */
export async function* runOutput(run: Run, blobs: Blobs, index?: number): AsyncGenerator<string> {
  if (index !== undefined) {
    let own = ''
    for await (const record of taskRecords(
      { ...run, reports: run.reports.filter((one) => one.tasks.includes(index)) },
      blobs,
    )) {
      if (record.index !== index) continue
      for (const attempt of record.attempts) {
        for (const test of attempt.result.tests)
          if (test.output) own += `── ${test.name.join(' › ')}\n${test.output.trimEnd()}\n`
      }
    }
    if (own !== '') {
      yield own
      return
    }
  }
  const batches =
    index === undefined
      ? undefined
      : new Set(run.reports.filter((one) => one.tasks.includes(index)).map((one) => one.batch))
  for (const { batch, worker, blob } of run.outputs) {
    if (batches && batches.size > 0 && !batches.has(batch)) continue
    const text = await getText(blobs, blob)
    const name = run.workers.get(worker)?.name ?? worker
    yield `── batch ${batch} on ${name}\n`
    yield text === undefined ? '(its output is no longer kept)\n' : text.endsWith('\n') ? text : `${text}\n`
  }
}
