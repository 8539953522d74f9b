/**
 * Names of attributes: OpenTelemetry's own where it has one (`test.*`, `cicd.*`, `code.*`), else `muster.*`. Those of
 * OpenTelemetry are copied, as it asks for what is not stable yet; a test compares them with its package.
 */
export const names = {
  pipelineName: 'cicd.pipeline.name',
  pipelineRunId: 'cicd.pipeline.run.id',
  pipelineResult: 'cicd.pipeline.result',
  taskName: 'cicd.pipeline.task.name',
  taskType: 'cicd.pipeline.task.type',
  taskRunId: 'cicd.pipeline.task.run.id',
  taskRunResult: 'cicd.pipeline.task.run.result',
  workerId: 'cicd.worker.id',
  workerName: 'cicd.worker.name',
  hostName: 'host.name',
  suiteName: 'test.suite.name',
  suiteStatus: 'test.suite.run.status',
  caseName: 'test.case.name',
  caseStatus: 'test.case.result.status',
  filePath: 'code.file.path',
  lineNumber: 'code.line.number',
  errorType: 'error.type',
  exceptionType: 'exception.type',
  exceptionMessage: 'exception.message',
  exceptionStack: 'exception.stacktrace',
} as const

/** How a task or run ended, as `cicd.*` says it. */
export type PipelineResult = 'success' | 'failure' | 'error' | 'timeout' | 'cancellation' | 'skip'
/** How a run ended, as `test.suite.run.status` says it. */
export type SuiteStatus = 'success' | 'failure' | 'skipped' | 'aborted' | 'timed_out'
