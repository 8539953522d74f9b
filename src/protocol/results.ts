/**
 * What a test run says about tests: the one result type that runners write, the coordinator stores
 * as blobs, history keeps in columns and reports translate. Durations are milliseconds; paths are
 * POSIX and relative to the suite's working directory.
 */
import Type from 'typebox'
import { isFlaky } from './flaky.ts'

export const TestStatus = Type.Union([
  Type.Literal('passed'),
  Type.Literal('failed'),
  Type.Literal('skipped'),
  Type.Literal('todo'),
])
export type TestStatus = Type.Static<typeof TestStatus>

export const TestError = Type.Object({
  /** First what a person reads: the assertion's message without ANSI codes. */
  message: Type.String(),
  /** Class name, e.g. `AssertionError`. */
  type: Type.Optional(Type.String()),
  stack: Type.Optional(Type.String()),
  expected: Type.Optional(Type.String()),
  actual: Type.Optional(Type.String()),
  file: Type.Optional(Type.String()),
  line: Type.Optional(Type.Number()),
})
export type TestError = Type.Static<typeof TestError>

/** One earlier try of a test that was tried again, oldest first. */
export const TestTry = Type.Object({
  status: TestStatus,
  durationMs: Type.Number(),
  errors: Type.Optional(Type.Array(TestError)),
  output: Type.Optional(Type.String()),
})
export type TestTry = Type.Static<typeof TestTry>

export const TestResult = Type.Object({
  /** The task (file, or Go package) this test belongs to, exactly as it was listed. */
  file: Type.String(),
  /** describe/class titles from the outside in, the test's own title last. Never empty. */
  name: Type.Array(Type.String()),
  /** The framework's project, browser or workspace that the test ran in, if it has such a thing. */
  project: Type.Optional(Type.String()),
  status: TestStatus,
  durationMs: Type.Number(),
  line: Type.Optional(Type.Number()),
  /** Errors of the final try. */
  errors: Type.Optional(Type.Array(TestError)),
  /** stdout and stderr that the framework attributes to this test, capped. */
  output: Type.Optional(Type.String()),
  /** Earlier tries, oldest first. `status: passed` with a failed try here is what Muster calls flaky. */
  tries: Type.Optional(Type.Array(TestTry)),
  /** Why it was skipped, or other one-line remark of the framework. */
  reason: Type.Optional(Type.String()),
})
export type TestResult = Type.Static<typeof TestResult>

/** passed/failed/flaky/skipped partition total; todo counts as skipped. */
export const TestCounts = Type.Object({
  passed: Type.Number(),
  failed: Type.Number(),
  flaky: Type.Number(),
  skipped: Type.Number(),
  total: Type.Number(),
})
export type TestCounts = Type.Static<typeof TestCounts>

export { isFlaky }

export function countTests(tests: Iterable<TestResult>): TestCounts {
  const counts = { passed: 0, failed: 0, flaky: 0, skipped: 0, total: 0 }
  for (const test of tests) {
    counts.total += 1
    if (test.status === 'failed') counts.failed += 1
    else if (test.status === 'skipped' || test.status === 'todo') counts.skipped += 1
    else if (isFlaky(test)) counts.flaky += 1
    else counts.passed += 1
  }
  return counts
}

/** How one attempt at a task ended, as the worker saw it. */
export const TaskOutcome = Type.Union([Type.Literal('passed'), Type.Literal('failed'), Type.Literal('skipped')])
export type TaskOutcome = Type.Static<typeof TaskOutcome>

/** One attempt at one task (file), with its tests. The unit that reports and history read. */
export const TaskResult = Type.Object({
  file: Type.String(),
  outcome: TaskOutcome,
  durationMs: Type.Number(),
  /** Errors of the file itself, outside any test: it failed to load, a hook failed, it crashed the process. */
  errors: Type.Optional(Type.Array(TestError)),
  tests: Type.Array(TestResult),
})
export type TaskResult = Type.Static<typeof TaskResult>
