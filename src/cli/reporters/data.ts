/**
 * The reporters for programs: they say nothing while the run goes and write one document at its end.
 * Which document is a function of src/reports; where it goes is an Output.
 */
import { writeCtrf } from '../../reports/ctrf.ts'
import { writeJson } from '../../reports/json.ts'
import { writeJunit } from '../../reports/junit.ts'
import type { TextSink } from '../../reports/text-sink.ts'
import type { Output } from './output-file.ts'
import type { Reporter, RunSummary } from './reporter.ts'

export const dataFormats = {
  json: (summary: RunSummary, sink: TextSink): Promise<void> =>
    writeJson(summary.run, summary.exitCode, summary, sink, summary.place),
  junit: (summary: RunSummary, sink: TextSink): Promise<void> => writeJunit(summary.run, summary.records(), sink),
  ctrf: (summary: RunSummary, sink: TextSink): Promise<void> => writeCtrf(summary.run, summary.records(), sink),
} as const

export type DataFormat = keyof typeof dataFormats

export function dataReporter(format: DataFormat, output: Output): Reporter {
  return {
    start: () => output.prepare(),
    message() {},
    finish: (summary) => output.write((sink) => dataFormats[format](summary, sink)),
  }
}
