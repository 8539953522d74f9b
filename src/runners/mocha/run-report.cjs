/**
 * Translates the events of one mocha Runner into Muster's. A file is one task, but mocha has no notion of
 * a file while it runs: it loads all of them, then walks one tree of suites. So a file starts with the first of
 * its top-level suites or root-level tests, and ends when the last of them has ended and the hooks after it are done, which is
 * known when the next thing begins.
 *
 * Failed hooks and errors that arrive after a test was reported are errors of the file: mocha doesn't count
 * them as tests, and neither do we.
 */
'use strict'

const { toTestError, taskName } = require('../report-channel.cjs')

/** What loading a file adds to the root suite; arrays that are cut back when the file must leave no trace. */
const rootLists = [
  'suites',
  'tests',
  '_beforeAll',
  '_beforeEach',
  '_afterAll',
  '_afterEach',
  '_onlySuites',
  '_onlyTests',
]

class RunReport {
  constructor({ emit, cwd }) {
    this.emit = emit
    this.cwd = cwd
    /** task → { busyMs, open, errors, started, ended }; `open` counts its top-level items that have not ended. */
    this.files = new Map()
    this.loadFailures = 0
    this.current = undefined
    this.tries = []
    this.ended = false
    this.onExit = (code) => this.exited(code)
    process.on('exit', this.onExit)
  }

  // Loading

  rootState(root) {
    return Object.fromEntries(rootLists.map((name) => [name, root[name]?.length]))
  }

  restoreRoot(root, state) {
    for (const name of rootLists) if (state[name] !== undefined) root[name].length = state[name]
  }

  /** Keeps the hooks of a `--file` file that is not in this batch, and drops its tests. */
  forgetTests(root, state) {
    for (const name of ['suites', 'tests', '_onlySuites', '_onlyTests'])
      if (state[name] !== undefined) root[name].length = state[name]
  }

  startFile(task) {
    const file = this.file(task)
    if (!file.started) {
      file.started = true
      this.emit({ type: 'file-start', file: task })
    }
    return file
  }

  markStarted(task) {
    this.file(task).started = true
  }

  file(task) {
    let file = this.files.get(task)
    if (file === undefined) {
      file = { busyMs: 0, open: 0, errors: [], started: false, ended: false }
      this.files.set(task, file)
    }
    return file
  }

  loaded(task, loadMs) {
    this.file(task).busyMs += loadMs
  }

  failedToLoad(task, error, loadMs) {
    this.loadFailures += 1
    this.file(task).busyMs += loadMs
    this.file(task).errors.push(error)
    this.endFile(task)
  }

  // Running

  follow(runner) {
    this.runner = runner
    runner.on('start', () => this.begin(runner))
    runner.on('suite', (suite) => {
      if (suite.parent?.root) this.enter(suite)
    })
    runner.on('suite end', (suite) => {
      if (suite.parent?.root) this.leave(suite)
    })
    runner.on('test', (test) => {
      if (test.parent?.root) this.enter(test)
    })
    runner.on('retry', (test, error) => {
      this.tries.push({ status: 'failed', durationMs: test.duration ?? 0, errors: [toTestError(error, this.cwd)] })
    })
    runner.on('fail', (runnable, error) => this.fail(runnable, error))
    runner.on('test end', (test) => this.testEnd(test))
  }

  /** Everything is loaded and exclusive tests are chosen: what each file will run is known. */
  begin(runner) {
    this.begun = true
    for (const item of [...runner.suite.tests, ...runner.suite.suites]) {
      const task = this.taskOf(item)
      const runs = item.tests === undefined ? this.selects(runner, item) : runner.grepTotal(item) > 0
      if (task !== undefined && runs) this.file(task).open += 1
    }
    for (const [task, file] of this.files) if (file.open === 0) this.endFile(task)
  }

  /** Whether `--grep` leaves a root-level test in. */
  selects(runner, test) {
    const match = runner._grep === undefined || runner._grep.test(test.fullTitle())
    return runner._invert ? !match : match
  }

  enter(item) {
    this.settle()
    const task = this.taskOf(item)
    if (task === undefined) return
    this.startFile(task)
    this.current = task
    this.currentSinceMs = performance.now()
  }

  leave(item) {
    const task = this.taskOf(item)
    if (task === undefined) return
    this.file(task).open -= 1
  }

  /** The hooks of whatever ran last are over. */
  settle() {
    const task = this.current
    this.current = undefined
    if (task === undefined) return
    const file = this.file(task)
    file.busyMs += performance.now() - this.currentSinceMs
    if (file.open <= 0) this.endFile(task)
  }

  testEnd(test) {
    const isRoot = test.parent?.root === true
    // Pending root tests have no `test` event.
    if (isRoot && this.current === undefined) this.enter(test)
    else if (isRoot && this.taskOf(test) !== this.current) this.enter(test)
    const task = this.taskOf(test)
    if (task === undefined || this.file(task).ended) return
    this.startFile(task)
    const result = { file: task, name: test.titlePath(), status: this.statusOf(test), durationMs: test.duration ?? 0 }
    if (test.musterError !== undefined) {
      result.errors = [test.musterError]
      if (result.errors[0].file === task && result.errors[0].line !== undefined) result.line = result.errors[0].line
    }
    if (this.tries.length > 0) result.tries = this.tries
    this.tries = []
    test.musterReported = true
    this.emit({ type: 'test', test: result })
    if (isRoot) this.leave(test)
  }

  statusOf(test) {
    if (test.state === 'failed') return 'failed'
    // mocha itself can't tell `it.skip` from a test without a body.
    return test.isPending() ? 'skipped' : 'passed'
  }

  fail(runnable, thrown) {
    const error = toTestError(thrown, this.cwd)
    if (runnable.type === 'test' && runnable.musterReported !== true) {
      runnable.musterError = error
      return
    }
    const isHook = runnable.type === 'hook'
    const title = isHook ? runnable.title : (runnable.fullTitle?.() ?? runnable.title)
    const named = { ...error, message: `${title}: ${error.message}` }
    const isRootHook = isHook && runnable.parent?.root === true
    if (isRootHook) this.rootError ??= named
    const isRootAll = isRootHook && /^"(before|after) all"/.test(runnable.title)
    if (isRootAll) this.settle()
    const task = isRootAll ? undefined : (this.taskOf(runnable) ?? this.current)
    if (task !== undefined && !this.file(task).ended) this.startFile(task).errors.push(named)
    else if (task !== undefined) this.emit({ type: 'error', error: named, file: task })
    // Otherwise it is put down to each file that it kept from running.
    else if (!isRootAll || [...this.files.values()].every((file) => file.ended))
      this.emit({ type: 'error', error: named })
  }

  endFile(task, skipped = false) {
    const file = this.startFile(task)
    if (file.ended) return
    file.ended = true
    const event = { type: 'file-end', file: task, durationMs: file.busyMs }
    if (file.errors.length > 0) event.errors = file.errors
    if (skipped) event.skipped = true
    this.emit(event)
  }

  /** The Runner is done. */
  end(runner) {
    this.settle()
    const bailed = runner.suite.bail() && runner.failures > 0
    for (const [task, file] of this.files) {
      if (file.started) this.endFile(task)
      else if (this.rootError !== undefined) {
        file.errors.push(this.rootError)
        this.endFile(task)
      } else if (bailed) this.endFile(task, true)
      // What else was left out (mocha aborts after some uncaught errors) stays unreported, and runs in another batch.
    }
    this.close()
  }

  close() {
    process.off('exit', this.onExit)
  }

  /** `process.exit` in mid-file, or nothing left to wait for: natively this can even pass. */
  exited(code) {
    if (this.current !== undefined) {
      const title = this.runner.test?.fullTitle()
      const what = title === undefined ? 'this file' : `"${title}"`
      const why = 'something called process.exit, or a test waits for what can never come'
      this.file(this.current).errors.push({ message: `The process exited with code ${code} while ${what} ran: ${why}` })
      this.endFile(this.current)
    } else if (this.runner !== undefined && !this.begun) {
      for (const [task, file] of this.files) {
        if (file.ended) continue
        file.errors.push({
          message: `The process exited with code ${code} before the tests began; with --delay something must call run()`,
        })
        this.endFile(task)
      }
    }
  }

  /** The listed file that an item belongs to. */
  taskOf(item) {
    for (let at = item; at !== undefined && at !== null; at = at.parent) {
      if (typeof at.file === 'string') {
        const task = taskName(this.cwd, at.file)
        return this.files.has(task) ? task : undefined
      }
    }
    return undefined
  }
}

module.exports = { RunReport }
