/** Jest's results in Muster's words. Loaded by the project's own Jest. */
'use strict'

const { toTestError, plain } = require('../report-channel.cjs')

const statuses = { passed: 'passed', failed: 'failed', todo: 'todo', focused: 'passed' }

function describeTest(result, file, project, cwd) {
  const status = statuses[result.status] ?? 'skipped'
  const messages = result.failureMessages ?? []
  const details = result.failureDetails ?? []
  const tries = earlierTries(result, cwd)
  return {
    file,
    name: [...result.ancestorTitles, result.title],
    ...(project ? { project } : {}),
    status,
    durationMs: result.duration ?? 0,
    ...(result.location ? { line: result.location.line } : {}),
    ...(status === 'failed' && messages.length > 0
      ? { errors: messages.map((text, at) => describeFailure(text, details[at], cwd)) }
      : {}),
    ...(tries.length > 0 ? { tries } : {}),
  }
}

/** Jest says how often it tried; why only with `logErrorsBeforeRetry`; how long the earlier tries took it never says. */
function earlierTries(result, cwd) {
  const reasons = result.retryReasons ?? []
  const count = Math.max(reasons.length, (result.invocations ?? 1) - 1)
  return Array.from({ length: count }, (_, at) => ({
    status: 'failed',
    durationMs: 0,
    ...(reasons[at] === undefined ? {} : { errors: [describeFailure(reasons[at], undefined, cwd)] }),
  }))
}

/** A failure is a text that ends in a stack; `detail` is what is left of the thrown object after its way from a worker. */
function describeFailure(text, detail, cwd) {
  const clean = plain(String(text))
  const stackAt = clean.search(/^\s+at /m)
  const message = (stackAt === -1 ? clean : clean.slice(0, stackAt)).trim()
  const named = /^(?:thrown: )?([A-Z]\w*(?:Error|Exception|Failure)?): /.exec(message)
  const compared = detail?.matcherResult
  return toTestError(
    {
      message: named === null ? message : message.slice(named[0].length),
      name: compared === undefined ? named?.[1] : 'AssertionError',
      stack: clean,
      ...(compared?.expected === undefined ? {} : { expected: compared.expected }),
      ...(compared?.actual === undefined ? {} : { actual: compared.actual }),
    },
    cwd,
  )
}

/** What kept a file from running, or failed outside its tests. */
function fileErrors(result, cwd) {
  const error = result.testExecError
  if (error !== undefined && error !== null) {
    const text = error.stack?.includes(error.message) ? error.stack : `${error.message ?? ''}\n${error.stack ?? ''}`
    return [
      describeFailure(text.trim() === '' ? (result.failureMessage ?? 'The file failed to run') : text, undefined, cwd),
    ]
  }
  if (result.failureMessage && !result.testResults.some((one) => one.status === 'failed')) {
    return [describeFailure(result.failureMessage, undefined, cwd)]
  }
  return []
}

module.exports = { describeTest, fileErrors }
