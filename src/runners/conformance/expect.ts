/** What the tests of every runner ask of the events of a batch. */
import assert from 'node:assert/strict'
import type { TestError, TestResult } from '../../protocol/results.ts'
import type { DriverEvent } from '../runner.ts'

export type FileReport = {
  started: boolean
  ended: boolean
  skipped: boolean
  durationMs: number
  /** Errors of the file itself: those of its end and of `error` events that name it. */
  errors: TestError[]
  tests: TestResult[]
}

/** The events of a batch by file, in order of first appearance. Fails on an order that the contract forbids. */
export function collectFiles(events: readonly DriverEvent[]): Map<string, FileReport> {
  const files = new Map<string, FileReport>()
  const report = (file: string): FileReport => {
    let found = files.get(file)
    if (found === undefined) {
      found = { started: false, ended: false, skipped: false, durationMs: 0, errors: [], tests: [] }
      files.set(file, found)
    }
    return found
  }
  for (const event of events) {
    if (event.type === 'file-start') {
      const file = report(event.file)
      assert.equal(file.started, false, `${event.file} started twice`)
      file.started = true
    } else if (event.type === 'test') {
      const file = report(event.test.file)
      assert.ok(file.started, `${event.test.name.join(' > ')} was reported before ${event.test.file} started`)
      assert.ok(!file.ended, `${event.test.name.join(' > ')} was reported after ${event.test.file} ended`)
      assert.ok(event.test.name.length > 0, `${event.test.file} has a test without a name`)
      file.tests.push(event.test)
    } else if (event.type === 'file-end') {
      const file = report(event.file)
      assert.ok(file.started, `${event.file} ended before it started`)
      assert.ok(!file.ended, `${event.file} ended twice`)
      file.ended = true
      file.skipped = event.skipped ?? false
      file.durationMs = event.durationMs
      file.errors.push(...(event.errors ?? []))
    } else if (event.type === 'error' && event.file !== undefined) {
      report(event.file).errors.push(event.error)
    }
  }
  return files
}

/** Errors that belong to no file. */
export function runErrors(events: readonly DriverEvent[]): readonly TestError[] {
  return events.flatMap((event) => (event.type === 'error' && event.file === undefined ? [event.error] : []))
}

/** `a > b > c` → status, for comparing whole files at a glance. */
export function statuses(file: FileReport | undefined): Record<string, string> {
  assert.ok(file !== undefined, 'the file was not reported')
  return Object.fromEntries(file.tests.map((test) => [test.name.join(' > '), test.status]))
}

export function findTest(file: FileReport | undefined, ...name: readonly string[]): TestResult {
  assert.ok(file !== undefined, 'the file was not reported')
  const found = file.tests.find((test) => test.name.join('\0') === name.join('\0'))
  assert.ok(found, `no test ${name.join(' > ')} among: ${file.tests.map((test) => test.name.join(' > ')).join(', ')}`)
  return found
}

/** Exactly these files, each started and ended. */
export function assertComplete(events: readonly DriverEvent[], expected: readonly string[]): void {
  const files = collectFiles(events)
  assert.deepEqual([...files.keys()].toSorted(), [...expected].toSorted())
  for (const [name, file] of files) assert.ok(file.ended, `${name} started but never ended`)
}

/** The file's process or worker died: either it ended with an error, or it never ended. Never a clean end. */
export function assertCrashed(files: ReadonlyMap<string, FileReport>, name: string): void {
  const file = files.get(name)
  assert.ok(file?.started, `${name} was not started`)
  assert.ok(!file.ended || file.errors.length > 0, `${name} crashed but ended without an error`)
}
