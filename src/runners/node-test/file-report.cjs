/** What is known of one file while `node --test` runs, and the events that follow from it. See reporter.mjs. */
'use strict'

const { toTestError, plain } = require('../report-channel.cjs')

/** Enough of the end of a process's stderr to hold the error that ended it. */
const wordsCharsMax = 16 * 1024

class FileReport {
  constructor({ file, emit, cwd }) {
    this.file = file
    this.emit = emit
    this.cwd = cwd
    this.started = false
    this.completed = false
    this.ended = false
    this.durationMs = 0
    this.errors = []
    this.lastWords = ''
    this.reported = 0
    /** Names of the tests that contain the current one, by nesting (order of definition). */
    this.path = []
    /** testId → { name, parentId, finished } (live). */
    this.tests = new Map()
    this.waiting = []
  }

  start() {
    if (this.started) return
    this.started = true
    this.emit({ type: 'file-start', file: this.file })
  }

  printed(type, message) {
    if (type === 'test:stderr') this.lastWords = (this.lastWords + message).slice(-wordsCharsMax)
  }

  /** Events that name their file and test: order of execution. */
  live(type, data) {
    if (type === 'test:stdout' || type === 'test:stderr') return this.printed(type, data.message)
    this.start()
    if (type === 'test:enqueue') {
      this.isLive = true
      this.tests.set(data.testId, { name: data.name, parentId: data.parentId, finished: false })
    } else if (type === 'test:complete') {
      const known = this.tests.get(data.testId)
      if (known !== undefined) known.finished = true
      this.result([...this.ancestors(data), data.name], data)
    }
  }

  ancestors(data) {
    const names = []
    for (let at = this.tests.get(data.parentId); at !== undefined; at = this.tests.get(at.parentId))
      names.unshift(at.name)
    return names
  }

  get hasBegun() {
    return this.reported > 0 || this.path.length > 0 || this.waiting.length > 0
  }

  /** Events in order of definition. */
  ordered(type, data) {
    this.start()
    if (type === 'test:enqueue') {
      this.waiting.push(`${data.nesting}:${data.name}`)
    } else if (type === 'test:start') {
      this.path.length = data.nesting
      this.path.push(data.name)
    } else {
      const at = this.waiting.indexOf(`${data.nesting}:${data.name}`)
      if (at !== -1) this.waiting.splice(at, 1)
      this.result([...this.path.slice(0, data.nesting), data.name], data)
    }
  }

  result(name, data) {
    const failure = data.details?.error
    // Suites are no tests; only what failed around their tests is worth a word.
    if (data.details?.type === 'suite') {
      if (failure?.failureType === 'hookFailed') this.errors.push(this.errorOf(failure, `${name.join(' > ')}: `))
      return
    }
    this.reported += 1
    const test = { file: this.file, name, status: statusOf(data), durationMs: data.details?.duration_ms ?? 0 }
    if (typeof data.line === 'number') test.line = data.line
    const reason = [data.skip, data.todo].find((text) => typeof text === 'string' && text !== '')
    if (reason !== undefined) test.reason = reason
    if (failure !== undefined && failure !== null && test.status !== 'skipped') test.errors = [this.errorOf(failure)]
    this.emit({ type: 'test', test })
  }

  /** Node wraps what was thrown; the cause is what the test's author wants to see. */
  errorOf(failure, before = '') {
    const error = toTestError(failure.cause ?? failure, this.cwd)
    return { ...error, message: before + error.message }
  }

  /** The file's process has ended. */
  complete(data) {
    this.start()
    this.completed = true
    this.durationMs = data.details?.duration_ms ?? 0
    if (!this.isLive) return
    const failure = data.details?.error
    if (this.reported === 0 || (failure && failure.failureType !== 'subtestsFailed')) this.wrapper(data)
    this.finish()
  }

  /** Node counts the process as a test. */
  wrapper(data) {
    if (this.ended) return
    this.start()
    const failure = data.details?.error
    const test = {
      file: this.file,
      name: [this.file],
      status: statusOf(data),
      durationMs: data.details?.duration_ms ?? 0,
    }
    if (failure) {
      const error = this.processError(failure)
      test.errors = [error]
      this.errors.push(error)
    }
    this.reported += 1
    this.emit({ type: 'test', test })
  }

  processError(failure) {
    const { exitCode, signal } = failure
    const how = signal ? `signal ${signal}` : exitCode === undefined ? undefined : `exit code ${exitCode}`
    if (how === undefined) return this.errorOf(failure)
    const words = plain(this.lastWords).trim()
    const thrown = words.split('\n').find((line) => /^(Uncaught )?\w*(Error|Exception)\b.*:/.test(line))
    return {
      message: `${thrown ?? 'The process of this file failed'} (${how})`,
      ...(words === '' ? {} : { stack: words }),
    }
  }

  finish() {
    if (this.ended) return
    this.start()
    this.ended = true
    const unfinished = this.isLive
      ? [...this.tests.values()].filter((one) => !one.finished).map((one) => one.name)
      : this.waiting
    // Natively a process that leaves with code 0 passes, whatever it left undone.
    if (unfinished.length > 0 && this.errors.length === 0) {
      const names = unfinished
        .map((one) => `"${one.replace(/^\d+:/, '')}"`)
        .slice(0, 5)
        .join(', ')
      this.errors.push({
        message: `The process of this file ended before ${unfinished.length} of its tests did (${names}): something called process.exit`,
      })
    }
    const event = { type: 'file-end', file: this.file, durationMs: this.durationMs }
    if (this.errors.length > 0) event.errors = this.errors
    this.emit(event)
  }
}

function statusOf(data) {
  if (data.skip !== undefined && data.skip !== false) return 'skipped'
  if (data.todo !== undefined && data.todo !== false) return 'todo'
  return data.details?.error === undefined || data.details.error === null ? 'passed' : 'failed'
}

module.exports = { FileReport }
