/**
 * Turns the JUnit reports that a command left behind into events, once it has ended. A file of the batch that
 * no report speaks of gets no event. What belongs to no file of the batch and failed is an error of the run.
 */
import type { TestError, TestResult } from '../../protocol/results.ts'
import type { BatchReader, BatchSink, ProcessExit } from '../runner.ts'
import { FileFinder } from './junit-files.ts'
import { readJUnit } from './junit.ts'

export type ReportSource = {
  readonly files: readonly string[]
  readonly cwd: string
  readonly reports: () => Promise<readonly { readonly file: string; readonly text: string }[]>
}

type FileReport = { readonly tests: TestResult[]; readonly errors: TestError[] }

export class ReportReader implements BatchReader {
  readonly #sink: BatchSink
  readonly #source: ReportSource
  constructor(sink: BatchSink, source: ReportSource) {
    this.#sink = sink
    this.#source = source
  }

  async exit(exit: ProcessExit): Promise<void> {
    const found = new Map<string, FileReport>()
    const homeless = await this.#collect(found)
    const [first, ...others] = this.#source.files
    // Alone, it is to blame when the command fails; among others nobody knows which one ran. A command that
    // ends well without a word about a file has not begun it.
    if (others.length === 0 && found.size === 0 && exit.code !== 0) {
      this.#sink.event({ type: 'file-start', file: first! })
    }
    let failed = homeless.failed > 0
    for (const file of this.#source.files) {
      const report = found.get(file)
      if (report === undefined) continue
      this.#sink.event({ type: 'file-start', file })
      for (const test of report.tests) this.#sink.event({ type: 'test', test })
      failed ||= report.errors.length > 0 || report.tests.some((test) => test.status === 'failed')
      const skipped =
        report.errors.length === 0 && report.tests.length > 0 && report.tests.every((test) => test.status === 'skipped')
      this.#sink.event({
        type: 'file-end',
        file,
        durationMs: report.tests.reduce((sum, test) => sum + test.durationMs, 0),
        ...(report.errors.length > 0 ? { errors: report.errors } : {}),
        ...(skipped ? { skipped } : {}),
      })
    }
    if (homeless.count > 0) {
      const message = `${homeless.count} tests of the JUnit report belong to no file of the batch, e.g. ${homeless.example}`
      if (homeless.failed > 0)
        this.#sink.event({ type: 'error', error: { message: `${message}; ${homeless.failed} of them failed` } })
      else this.#sink.output(`${message}\n`)
    }
    const complete = this.#source.files.every((file) => found.has(file))
    if (complete && !failed && exit.code !== null && exit.code !== 0) {
      this.#sink.event({
        type: 'error',
        error: { message: `the command ended with exit code ${exit.code} although no test failed` },
      })
    }
    if (complete) this.#sink.event({ type: 'end' })
  }

  async #collect(found: Map<string, FileReport>): Promise<{ count: number; failed: number; example: string }> {
    const homeless = { count: 0, failed: 0, example: '' }
    const finder = new FileFinder(this.#source.files)
    const reportOf = (file: string): FileReport => {
      const report = found.get(file) ?? { tests: [], errors: [] }
      found.set(file, report)
      return report
    }
    const without = (name: string, failed: boolean): void => {
      homeless.example ||= `'${name}'`
      homeless.count += 1
      homeless.failed += failed ? 1 : 0
    }
    for (const { file, text } of await this.#source.reports()) {
      const report = this.#parse(file, text)
      if (report === undefined) continue
      for (const one of report.cases) {
        const placed = finder.place(one)
        if (placed === undefined) without(one.className ?? one.name, one.result.status === 'failed')
        else reportOf(placed.file).tests.push({ file: placed.file, name: [...placed.name], ...one.result })
      }
      for (const { error, files, suites } of report.errors) {
        const owner = finder.find({ className: undefined, files, suites })
        if (owner === undefined) without(error.message, true)
        else reportOf(owner).errors.push(error)
      }
      // Named, so it was run. A report that is empty says nothing of any file, not even of one alone.
      for (const suite of report.empty) {
        const named = finder.named({ className: undefined, ...suite })
        if (named !== undefined) reportOf(named)
      }
    }
    return homeless
  }

  /** Undefined when it is broken off, as by a crash: then it says nothing reliable. */
  #parse(file: string, text: string): ReturnType<typeof readJUnit> | undefined {
    try {
      return readJUnit(text)
    } catch (error) {
      this.#sink.output(`Cannot read the JUnit report ${file}: ${(error as Error).message}\n`)
      return undefined
    }
  }
}
