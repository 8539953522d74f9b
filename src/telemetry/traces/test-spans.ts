/**
 * The tests of an attempt as spans below it. Frameworks tell how long a test took and not when it began,
 * so tests follow one another from the attempt's begin; those that ran side by side are shown as if they
 * had not, and none is shown outside its attempt unless it took longer.
 */
import { isFlaky, type TaskResult, type TestError, type TestResult } from '../../protocol/results.ts'
import { names } from './conventions.ts'
import type { SpanData, SpanEvent } from './span.ts'
import { spanId } from './trace-context.ts'

const messageLengthMax = 300
const stackLengthMax = 4096
const eventsMax = 8

export function testSpans(attempt: SpanData, result: TaskResult): SpanData[] {
  let cursorMs = attempt.startMs
  return result.tests.map((test, index) => {
    const latestMs = Math.max(attempt.startMs, attempt.endMs - test.durationMs)
    const startMs = Math.min(cursorMs, latestMs)
    cursorMs = startMs + test.durationMs
    return testSpan(attempt, result.file, test, index, startMs)
  })
}

function testSpan(attempt: SpanData, file: string, test: TestResult, index: number, startMs: number): SpanData {
  const { status, durationMs } = test
  const endMs = startMs + durationMs
  const failed = status === 'failed'
  const errors = test.errors ?? []
  const tries = (test.tries ?? []).map((one, at) => ({
    name: 'try',
    atMs: startMs,
    attributes: { 'muster.try': at + 1, 'muster.try.status': one.status, 'muster.try.duration_ms': one.durationMs },
  }))
  return {
    traceId: attempt.traceId,
    spanId: spanId(attempt.spanId, index),
    parentSpanId: attempt.spanId,
    name: test.name.join(' › '),
    startMs,
    endMs,
    ok: !failed,
    message: failed ? firstLine(errors[0]?.message ?? 'failed') : undefined,
    attributes: {
      [names.caseName]: test.name.join(' › '),
      [names.caseStatus]: status === 'passed' ? 'pass' : failed ? 'fail' : undefined,
      [names.filePath]: file,
      [names.lineNumber]: test.line,
      [names.errorType]: failed ? (errors[0]?.type ?? 'failed') : undefined,
      'muster.test.status': status,
      'muster.test.flaky': isFlaky(test) || undefined,
      'muster.test.project': test.project,
      'muster.test.reason': test.reason,
    },
    events: [...tries, ...exceptions(errors, endMs)].slice(0, eventsMax),
  }
}

/** Errors as span events, as OpenTelemetry has them. */
export function exceptions(errors: readonly TestError[], atMs: number): SpanEvent[] {
  return errors.slice(0, eventsMax).map((error) => ({
    name: 'exception',
    atMs,
    attributes: {
      [names.exceptionMessage]: error.message.slice(0, stackLengthMax),
      ...(error.type === undefined ? {} : { [names.exceptionType]: error.type }),
      ...(error.stack === undefined ? {} : { [names.exceptionStack]: error.stack.slice(0, stackLengthMax) }),
    },
  }))
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0]!.slice(0, messageLengthMax)
}
