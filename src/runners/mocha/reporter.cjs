/**
 * Muster inside mocha, loaded with `--require` before anything of the project: so mocha itself reads its
 * configuration, looks its files up and keeps the project's own reporter, while this file stands at
 * two public methods of its API:
 *
 * - `Mocha#loadFilesAsync` (and `run` in parallel mode) is where the files are known. For a listing they are
 *   written down and the process ends; for a batch they are narrowed to the batch, in mocha's own order.
 * - `Mocha#run` returns the Runner, whose events `run-report.cjs` translates.
 *
 * Natively one file that fails to load ends the run before any test. Here it is reported and the others go on.
 *
 * Three kinds of process load it: the one Muster starts (descriptor 3 is the channel), the one that mocha starts again for
 * Node's own flags, and the workers of `--parallel`. The latter two don't inherit descriptor 3 and append to a
 * file, which the runner follows.
 */
'use strict'

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { openChannel, toTestError, taskName } = require('../report-channel.cjs')
const { RunReport } = require('./run-report.cjs')

const request = JSON.parse(fs.readFileSync(process.env.MUSTER_MOCHA, 'utf8'))
const cwd = process.cwd()
const isWorker = process.env.MOCHA_WORKER_ID !== undefined && process.argv[1] !== request.entry
const loaded = require(request.mocha)
const Mocha = loaded.default ?? loaded
const original = { loadFilesAsync: Mocha.prototype.loadFilesAsync, run: Mocha.prototype.run }

const patched = { loadFilesAsync: loadFilesAsyncForMuster, run: runForMuster }
let report

/** Only mocha's own instance is ours: tests may make instances themselves, and they get the original methods. */
function setMethods(methods) {
  Object.assign(Mocha.prototype, methods)
}
setMethods(patched)

async function loadFilesAsyncForMuster(options) {
  setMethods(original)
  if (request.list !== undefined) return writeListing(this)
  this.run = runForMuster
  const steps = loading(this)
  for (let step = steps.next(); !step.done;) {
    try {
      await original.loadFilesAsync.call(this, options)
      step = steps.next()
    } catch (error) {
      step = steps.next({ error })
    }
  }
}

function runForMuster(done) {
  delete this.run
  setMethods(original)
  if (request.list !== undefined) return writeListing(this)
  if (this._runnerClass.prototype.isParallelMode()) return runParallel(this, done)
  if (report === undefined) loadSync(this)
  const current = report
  report = undefined
  const runner = this.run((failures) => {
    current.end(runner)
    if (isWorker) setMethods(patched)
    else current.emit({ type: 'end' })
    done?.(isWorker ? failures : failures + current.loadFailures)
  })
  current.follow(runner)
  return runner
}

/** The workers report; this process only hands the files out. */
function runParallel(mocha, done) {
  selectFiles(mocha)
  // Fewer CPUs than the host has: the project's own number of jobs, or mocha's, would be too many.
  const { cpus } = request
  if (cpus < os.cpus().length) mocha.options.jobs = Math.min(mocha.options.jobs ?? cpus, cpus)
  const emit = openChannel(request.events)
  return mocha.run((failures) => {
    emit({ type: 'end' })
    done?.(failures)
  })
}

/** `--parallel --jobs 1`: mocha runs serially and loads synchronously. */
function loadSync(mocha) {
  const steps = loading(mocha)
  for (let step = steps.next(); !step.done;) {
    try {
      mocha.loadFiles()
      step = steps.next()
    } catch (error) {
      step = steps.next({ error })
    }
  }
  mocha.lazyLoadFiles(true)
}

/** Hands out one file at a time in `mocha.files`; the caller loads it and says what happened. */
function* loading(mocha) {
  const direct = !isWorker && path.resolve(process.argv[1]) === request.entry
  report = new RunReport({ emit: openChannel(direct ? request.channelFd : request.events), cwd })
  if (!isWorker) {
    selectFiles(mocha)
    // From here on the project's code runs, and it should find the environment that it would find without Muster.
    delete process.env.MUSTER_MOCHA
    delete process.env.MUSTER_CHANNEL_FD
  }
  const { files } = mocha
  const tasks = new Set(isWorker ? files.map((file) => taskName(cwd, file)) : request.files)
  for (const file of files) {
    const task = taskName(cwd, file)
    const before = report.rootState(mocha.suite)
    if (isWorker) report.startFile(task)
    else fs.writeFileSync(request.loading, `${task}\n`)
    const startMs = performance.now()
    mocha.files = [file]
    const failure = yield
    if (!isWorker && !takeBack(request.loading)) report.markStarted(task)
    if (failure !== undefined) {
      report.restoreRoot(mocha.suite, before)
      if (!tasks.has(task)) throw failure.error
      report.failedToLoad(task, toTestError(failure.error, cwd), performance.now() - startMs)
      console.error(`\nCannot load ${task}:`, failure.error)
      // A worker loads one file, and mocha's main process counts the failure by this.
      if (isWorker) {
        setMethods(patched)
        report.close()
        report = undefined
        throw failure.error
      }
    } else if (tasks.has(task)) report.loaded(task, performance.now() - startMs)
    else report.forgetTests(mocha.suite, before)
  }
  mocha.files = files
}

/** False when Muster has taken the name of a file that loads slowly, and said itself that it started. */
function takeBack(file) {
  try {
    fs.unlinkSync(file)
    return true
  } catch (error) {
    if (error.code === 'ENOENT') return false
    throw error
  }
}

function selectFiles(mocha) {
  const wanted = new Set(request.files.map((file) => path.resolve(cwd, file)))
  // Loaded in every batch for their hooks; their tests belong to one batch.
  const preludes = new Set([mocha.options.file ?? []].flat().map((file) => path.resolve(file)))
  const found = [...new Set(mocha.files)].filter((file) => wanted.has(file) || preludes.has(file))
  for (const file of found) wanted.delete(file)
  mocha.files = [...found, ...wanted]
}

function writeListing(mocha) {
  const modules = Object.keys(require.cache).filter(
    (file) => file.startsWith(cwd + path.sep) && !file.includes('/node_modules/'),
  )
  const files = [...new Set(mocha.files)].map((file) => taskName(cwd, file))
  const serial = !mocha._runnerClass.prototype.isParallelMode()
  fs.writeFileSync(request.list, JSON.stringify({ files, modules, serial }))
  process.exit(0)
}
