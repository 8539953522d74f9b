/**
 * A reporter of Playwright test. A task is a file, in all projects that it belongs to.
 *
 * Projects that others depend on (set-up, tear-down) run whole in every batch that needs them, as they do natively. Their files are
 * tasks too, so that every test is counted once: in the batch that has the file. In other batches their results are left out, except
 * that their failure is named as the reason why a file did not run.
 *
 * A result is final when no retry can follow. In a serial group a test that has passed is run again when a later one fails,
 * so results of serial groups with retries wait for the end.
 */
'use strict'

const { readFileSync, writeFileSync } = require('node:fs')
const { openChannel, taskName, cut, plain, outputCharsMax } = require('../report-channel.cjs')

class MusterReporter {
  constructor() {
    this.request = JSON.parse(readFileSync(process.env.MUSTER_PLAYWRIGHT, 'utf8'))
    // The project's tests and servers should find the environment that they would find without Muster.
    delete process.env.MUSTER_PLAYWRIGHT
    delete process.env.MUSTER_CHANNEL_FD
    this.cwd = process.cwd()
    this.files = new Map()
    this.errors = []
    this.dependencyErrors = []
    this.emit = this.request.list === undefined ? openChannel(this.request.channelFd) : () => {}
    for (const file of this.request.files ?? []) {
      this.files.set(file, { tests: [], open: 0, durationMs: 0, errors: [], started: false, ended: false })
    }
  }

  printsToStdio() {
    return false
  }

  onBegin(config, suite) {
    this.workers = config.workers
    this.listed = new Set()
    this.tags = {}
    for (const test of suite.allTests()) {
      const name = fileOf(test, this.cwd)
      this.listed.add(name)
      for (const tag of test.tags ?? []) (this.tags[name] ??= new Set()).add(tag)
      const file = this.files.get(name)
      if (file === undefined) continue
      file.tests.push(test)
      file.open += 1
    }
  }

  onTestBegin(test) {
    const name = fileOf(test, this.cwd)
    if (this.files.has(name)) this.start(name)
  }

  onTestEnd(test, result) {
    const name = fileOf(test, this.cwd)
    const file = this.files.get(name)
    if (file === undefined) {
      if (test.outcome() === 'unexpected' && !willRetry(test, result)) {
        const title = titlesOf(test).join(' > ')
        this.dependencyErrors.push(
          ...errorsOf(test, result, this.cwd).map((error) => ({
            ...error,
            message: `${name} > ${title}: ${error.message}`,
          })),
        )
      }
      return
    }
    this.start(name)
    file.durationMs += result.duration
    if (willRetry(test, result) || (test.retries > 0 && isSerial(test))) return
    this.report(name, test)
  }

  onError(error) {
    this.errors.push(error)
  }

  onEnd() {
    if (this.request.list !== undefined) return this.writeListing()
    const broken = this.loadErrors()
    const ran = [...this.files.values()].some((file) => file.started)
    for (const [name, file] of this.files) {
      file.errors.push(...(broken.get(name) ?? []))
      // Natively nothing runs when one file fails to load; what it kept from running is left for another batch.
      if (file.errors.length === 0 && !ran && broken.size > 0) continue
      // Global set-up failed: nothing else will ever be said of these files.
      if (!ran && file.tests.every((test) => test.results.length === 0))
        file.errors.push(...this.errors.map((error) => errorOf(error, this.cwd)))
      const left = file.tests.filter((test) => !file.reported?.has(test))
      if (file.tests.length === 0 && file.errors.length === 0) continue
      this.start(name)
      if (left.some((test) => test.results.length === 0 && test.expectedStatus !== 'skipped'))
        file.errors.push(...this.dependencyErrors)
      for (const test of left) this.report(name, test)
      this.endFile(name)
    }
    if (ran) for (const error of this.errors) this.emit({ type: 'error', error: errorOf(error, this.cwd) })
    this.emit({ type: 'end' })
  }

  /** Errors that say which listed file they come from. */
  loadErrors() {
    const found = new Map()
    this.errors = this.errors.filter((error) => {
      const name = error.location === undefined ? undefined : taskName(this.cwd, error.location.file)
      if (name === undefined || this.files.get(name)?.tests.length !== 0) return true
      found.set(name, [...(found.get(name) ?? []), errorOf(error, this.cwd)])
      return false
    })
    return found
  }

  start(name) {
    const file = this.files.get(name)
    if (file.started) return
    file.started = true
    this.emit({ type: 'file-start', file: name })
  }

  report(name, test) {
    const file = this.files.get(name)
    file.reported ??= new Set()
    if (file.reported.has(test)) return
    file.reported.add(test)
    this.emit({ type: 'test', test: resultOf(name, test, this.cwd) })
    file.open -= 1
    if (file.open === 0) this.endFile(name)
  }

  endFile(name) {
    const file = this.files.get(name)
    if (file.ended) return
    file.ended = true
    const event = { type: 'file-end', file: name, durationMs: file.durationMs }
    if (file.errors.length > 0) event.errors = file.errors
    this.emit(event)
  }

  writeListing() {
    const files = [...(this.listed ?? [])]
    // A file that fails to load has no tests yet, and is a task all the same: it will be named and failed.
    const located = this.errors
      .filter((error) => error.location !== undefined)
      .map((error) => taskName(this.cwd, error.location.file))
    const broken = [...new Set(located)].filter((file) => !this.listed?.has(file))
    const errors = this.errors.map((error) => errorOf(error, this.cwd).message)
    const tags = Object.fromEntries(
      Object.entries(this.tags ?? {}).map(([name, all]) => [name, [...all].sort((a, b) => (a < b ? -1 : 1))]),
    )
    writeFileSync(this.request.list, JSON.stringify({ files, broken, workers: this.workers, errors, tags }))
  }
}

function fileOf(test, cwd) {
  // The file that Playwright loaded, even when the test is written in a file that it imports.
  let suite = test.parent
  while (suite.type !== 'file' && suite.parent !== undefined) suite = suite.parent
  return taskName(cwd, suite.location?.file ?? test.location.file)
}

/** Without the root's, the project's and the file's. */
function titlesOf(test) {
  return test.titlePath().slice(3)
}

function willRetry(test, result) {
  return (
    result.status !== test.expectedStatus &&
    result.status !== 'skipped' &&
    result.status !== 'interrupted' &&
    result.retry < test.retries
  )
}

function isSerial(test) {
  // Not public, and only a hint: without it results are reported a little too early.
  for (let suite = test.parent; suite !== undefined; suite = suite.parent)
    if (suite._parallelMode === 'serial') return true
  return false
}

function resultOf(file, test, cwd) {
  const outcome = test.outcome()
  const last = test.results.at(-1)
  const result = {
    file,
    name: titlesOf(test),
    status: statusOf(test, outcome),
    durationMs: last?.duration ?? 0,
    line: test.location.line,
  }
  const project = test.parent.project()?.name
  if (project) result.project = project
  if (result.status === 'failed') result.errors = errorsOf(test, last, cwd)
  const output = outputOf(last)
  if (output !== '') result.output = output
  if (test.results.length > 1) {
    result.tries = test.results.slice(0, -1).map((one) => ({
      status: one.status === test.expectedStatus ? 'passed' : one.status === 'skipped' ? 'skipped' : 'failed',
      durationMs: one.duration,
      errors: errorsOf(test, one, cwd),
      output: outputOf(one),
    }))
  }
  const reason =
    last === undefined
      ? 'did not run'
      : test.annotations.find((one) => /^(skip|fixme|fail)$/.test(one.type))?.description
  if (reason !== undefined) result.reason = reason
  return result
}

function statusOf(test, outcome) {
  if (outcome === 'skipped') return test.annotations.some((one) => one.type === 'fixme') ? 'todo' : 'skipped'
  return outcome === 'unexpected' ? 'failed' : 'passed'
}

function errorsOf(test, result, cwd) {
  const errors = (result?.errors ?? []).map((error) => errorOf(error, cwd))
  if (errors.length > 0 || result === undefined || result.status === test.expectedStatus || result.status === 'skipped')
    return errors
  return [{ message: `Expected it to end as ${test.expectedStatus}, but it ended as ${result.status}` }]
}

function errorOf(error, cwd) {
  const message = plain(error.message ?? error.value ?? error.stack ?? 'unknown error')
  const made = { message: cut(message) }
  if (error.stack !== undefined)
    made.stack = cut(plain(error.stack) + (error.snippet === undefined ? '' : `\n\n${plain(error.snippet)}`))
  const type = /^(\w*Error)\b/.exec(message)?.[1]
  if (type !== undefined) made.type = type
  const expected = /^\s*Expected[^:\n]*: (.*)$/m.exec(message)?.[1]
  const actual = /^\s*Received[^:\n]*: (.*)$/m.exec(message)?.[1]
  if (expected !== undefined) made.expected = expected
  if (actual !== undefined) made.actual = actual
  if (error.location !== undefined)
    Object.assign(made, { file: taskName(cwd, error.location.file), line: error.location.line })
  return made
}

function outputOf(result) {
  const chunks = [...(result?.stdout ?? []), ...(result?.stderr ?? [])]
  return cut(chunks.map((chunk) => plain(chunk.toString())).join(''), outputCharsMax)
}

module.exports = MusterReporter
