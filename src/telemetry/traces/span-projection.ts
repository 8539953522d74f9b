/**
 * Committed entries as spans: run, task, attempt. Each is made when it is over, from the event that says
 * so and from state; tests (test-spans.ts) come from the results that an attempt names.
 *
 * A task's span begins with its run, so that its wait is seen; an attempt's when its worker began the
 * file. Attempts that never began have no span.
 */
import type { Verdict } from '../../core/entities.ts'
import type { RunFinished, TaskEnded } from '../../core/events.ts'
import type { Run, State } from '../../core/state.ts'
import { AttemptBook, type AttemptOutcome, type CommittedEntry, type EndedAttempt } from '../attempts.ts'
import { names, type PipelineResult, type SuiteStatus } from './conventions.ts'
import type { SpanData } from './span.ts'
import { spanId, traceOf, type TraceContext } from './trace-context.ts'

/** An attempt's span, and where its tests are. */
export type Draft = { readonly span: SpanData; readonly attempt?: EndedAttempt; readonly file?: string }

export class SpanProjection {
  readonly #book: AttemptBook

  constructor(state: State, position: number) {
    this.#book = new AttemptBook(state, position)
  }

  /** Spans that this entry completes. `state`: with the entry applied. */
  entry(entry: CommittedEntry, state: State): Draft[] {
    const drafts: Draft[] = []
    for (const step of this.#book.entry(entry, state)) {
      if (step.type !== 'ended' || step.attempt.outcome === 'unstarted') continue
      const run = state.runs.get(step.attempt.run)
      const trace = run && traceOf(run)
      if (run && trace?.sampled) drafts.push(attemptDraft(run, trace, step.attempt))
    }
    for (const event of entry.events) {
      if (event.type !== 'task.ended' && event.type !== 'run.finished') continue
      const run = state.runs.get(event.run)
      const trace = run && traceOf(run)
      if (!run || !trace?.sampled) continue
      if (event.type === 'run.finished') drafts.push({ span: runSpan(run, trace, event, entry.atMs) })
      else for (const span of taskSpans(run, trace, event, entry.atMs)) drafts.push({ span })
    }
    return drafts
  }
}

function runSpan(run: Run, trace: TraceContext, event: RunFinished, atMs: number): SpanData {
  const { spec, tests } = run
  const ok = event.verdict === 'passed' || event.verdict === 'empty'
  return {
    traceId: trace.traceId,
    spanId: spanId(run.id),
    parentSpanId: trace.parentSpanId,
    name: `run ${spec.suite}`,
    startMs: run.createdAtMs,
    endMs: atMs,
    ok,
    message: ok ? undefined : event.why,
    attributes: {
      [names.pipelineName]: spec.suite,
      [names.pipelineRunId]: run.id,
      [names.pipelineResult]: pipelineResults[event.verdict],
      [names.suiteName]: spec.suite,
      [names.suiteStatus]: suiteStatuses[event.verdict],
      [names.errorType]: ok ? undefined : event.verdict,
      'muster.run.verdict': event.verdict,
      'muster.run.submitted_by': run.who,
      'muster.run.priority': run.priority,
      'muster.project': spec.project,
      'muster.framework': spec.framework,
      'muster.framework.version': spec.frameworkVersion === '' ? undefined : spec.frameworkVersion,
      'muster.run.tasks': run.tasks.length,
      'muster.run.tests': tests.total,
      'muster.run.tests.failed': tests.failed,
      'muster.run.tests.flaky': tests.flaky,
    },
    events: [],
  }
}

function* taskSpans(run: Run, trace: TraceContext, event: TaskEnded, atMs: number): Generator<SpanData> {
  const ok = ['passed', 'flaky', 'skipped'].includes(event.state)
  for (const index of event.tasks) {
    const task = run.tasks[index]!
    yield {
      traceId: trace.traceId,
      spanId: spanId(run.id, index),
      parentSpanId: spanId(run.id),
      name: task.file,
      startMs: run.createdAtMs,
      endMs: atMs,
      ok,
      message: ok ? undefined : event.why,
      attributes: {
        [names.taskName]: task.file,
        [names.taskType]: 'test',
        [names.taskRunId]: `${run.id}/${index}`,
        [names.taskRunResult]: taskResults[event.state],
        [names.filePath]: task.file,
        [names.errorType]: ok ? undefined : event.state,
        'muster.task.state': event.state,
        'muster.task.attempts': task.attempts,
      },
      events: [],
    }
  }
}

function attemptDraft(run: Run, trace: TraceContext, attempt: EndedAttempt): Draft {
  const { outcome, task: index, batch, worker } = attempt
  const { file } = run.tasks[index]!
  const seen = run.workers.get(worker)
  const ok = outcome === 'passed' || outcome === 'skipped'
  const span: SpanData = {
    traceId: trace.traceId,
    spanId: spanId(run.id, index, batch),
    parentSpanId: spanId(run.id, index),
    name: 'attempt',
    startMs: attempt.startedAtMs,
    endMs: Math.max(attempt.startedAtMs, attempt.endedAtMs),
    ok,
    message: ok ? undefined : (attempt.why ?? outcome),
    attributes: {
      [names.taskRunResult]: attemptResults[outcome],
      [names.filePath]: file,
      [names.workerId]: worker,
      [names.workerName]: seen?.name,
      [names.hostName]: seen?.host,
      [names.errorType]: ok ? undefined : outcome,
      'muster.attempt': attempt.attempt,
      'muster.attempt.outcome': outcome,
      'muster.batch.id': batch,
      'muster.attempt.wait_ms': attempt.startedAtMs - attempt.assignedAtMs,
    },
    events: [],
  }
  return attempt.results === undefined ? { span } : { span, attempt, file }
}

const pipelineResults: Readonly<Record<Verdict, PipelineResult>> = {
  passed: 'success',
  failed: 'failure',
  'timed-out': 'timeout',
  cancelled: 'cancellation',
  incomplete: 'error',
  empty: 'skip',
}

const suiteStatuses: Readonly<Record<Verdict, SuiteStatus>> = {
  passed: 'success',
  failed: 'failure',
  'timed-out': 'timed_out',
  cancelled: 'aborted',
  incomplete: 'aborted',
  empty: 'skipped',
}

const taskResults: Readonly<Record<TaskEnded['state'], PipelineResult>> = {
  passed: 'success',
  flaky: 'success',
  failed: 'failure',
  skipped: 'skip',
  'timed-out': 'timeout',
  cancelled: 'cancellation',
  lost: 'error',
}

const attemptResults: Readonly<Record<AttemptOutcome, PipelineResult>> = {
  passed: 'success',
  failed: 'failure',
  skipped: 'skip',
  'timed-out': 'timeout',
  cancelled: 'cancellation',
  crashed: 'error',
  lost: 'error',
  infrastructure: 'error',
  unstarted: 'error',
}
