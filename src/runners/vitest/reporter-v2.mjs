/**
 * Vitest 2 has no events of modules and tests yet, only raw tasks and their updates. It says that a file
 * has been loaded, not that it begins to: a file that ends its worker while it loads was never started here.
 */
import { openChannel, cut, outputCharsMax, taskName } from '../report-channel.cjs'
import { applyBatch } from './selection.mjs'
import { describeCrash, describeError, isCrash, projectName, splitTries } from './task-report.mjs'

const cwd = process.cwd()

export default class MusterReporterV2 {
  #send = openChannel(Number(process.env.MUSTER_CHANNEL_FD))
  #vitest
  /** Path → { name, left: ids of file tasks that haven't ended, durationMs, errors, skipped, ended }. */
  #files = new Map()
  #told = new Set()
  #output = new Map()
  /** How often each path is to run: once for every project. */
  #planned = new Map()

  onInit(vitest) {
    this.#vitest = vitest
    applyBatch(vitest, cwd)
  }

  onSpecsCollected(specifications) {
    for (const { 1: path } of specifications ?? []) this.#planned.set(path, (this.#planned.get(path) ?? 0) + 1)
  }

  onCollected(tasks = []) {
    for (const task of tasks) this.#start(task)
  }

  onTaskUpdate(packs) {
    for (const [id] of packs) {
      const task = this.#vitest.state.idMap.get(id)
      if (task === undefined) continue
      if ('filepath' in task) {
        if (isOver(task)) this.#endTask(task)
      } else if (task.type !== 'suite' && isOver(task) && this.#files.has(task.file.filepath)) this.#tell(task)
    }
  }

  onUserConsoleLog(log) {
    if (this.#vitest.config.onConsoleLog?.(log.content, log.type) === false) return
    const task = log.taskId === undefined ? undefined : this.#vitest.state.idMap.get(log.taskId)
    if (task === undefined || task.type === 'suite') {
      if (this.#vitest.config.silent !== true) process[log.type === 'stderr' ? 'stderr' : 'stdout'].write(log.content)
      return
    }
    const before = this.#output.get(task.id) ?? ''
    if (before.length <= outputCharsMax) this.#output.set(task.id, before + log.content)
  }

  onFinished(tasks = [], unhandledErrors = []) {
    const crashes = unhandledErrors.filter(isCrash)
    for (const task of tasks) if (isOver(task)) this.#endTask(task)
    let dead = false
    for (const file of this.#files.values()) {
      if (file.ended) continue
      if (file.open.size > 0) {
        dead = true
        file.errors.push(...describeCrash(crashes, cwd))
        file.skipped = false
      }
      this.#end(file)
    }
    if (!this.#vitest.config.dangerouslyIgnoreUnhandledErrors) {
      for (const error of unhandledErrors) {
        if (dead && isCrash(error)) continue
        const path = error.VITEST_TEST_PATH
        this.#send({ type: 'error', error: describeError(error, cwd), ...(path ? { file: taskName(cwd, path) } : {}) })
      }
    }
    this.#send({ type: 'end' })
  }

  #start(task) {
    let file = this.#files.get(task.filepath)
    if (file === undefined) {
      const left = this.#planned.get(task.filepath) ?? 1
      file = {
        name: taskName(cwd, task.filepath),
        left,
        open: new Set(),
        closed: new Set(),
        durationMs: 0,
        errors: [],
        skipped: true,
        ended: false,
      }
      this.#files.set(task.filepath, file)
      this.#send({ type: 'file-start', file: file.name })
    }
    if (!file.closed.has(task.id)) file.open.add(task.id)
    return file
  }

  #endTask(task) {
    const file = this.#start(task)
    if (file.closed.has(task.id)) return
    for (const test of allTests(task)) this.#tell(test)
    file.open.delete(task.id)
    file.closed.add(task.id)
    file.left -= 1
    file.durationMs += fileDuration(task)
    file.errors.push(...fileErrors(task))
    file.skipped &&= task.result?.state === 'skip' || task.mode === 'skip'
    if (file.left <= 0 && file.open.size === 0) this.#end(file)
  }

  #end(file) {
    file.ended = true
    const { name, durationMs, errors, skipped } = file
    this.#send({
      type: 'file-end',
      file: name,
      durationMs,
      ...(errors.length > 0 ? { errors } : {}),
      ...(skipped ? { skipped } : {}),
    })
  }

  #tell(test) {
    if (this.#told.has(test.id)) return
    this.#told.add(test.id)
    const output = this.#output.get(test.id)
    this.#output.delete(test.id)
    this.#send({
      type: 'test',
      test: { ...describeTask(test), ...(output === undefined ? {} : { output: cut(output, outputCharsMax) }) },
    })
  }
}

const statuses = { pass: 'passed', fail: 'failed', skip: 'skipped', todo: 'todo' }

function isOver(task) {
  return (task.result?.state ?? 'run') in statuses
}

function describeTask(test) {
  const { state, errors = [], duration = 0, retryCount = 0, note } = test.result ?? {}
  const status = statuses[test.mode === 'todo' ? 'todo' : (state ?? 'skip')] ?? 'skipped'
  const tries = splitTries(
    errors.map((error) => describeError(error, cwd)),
    status,
    duration,
    retryCount,
  )
  const project = projectName(test.file.projectName, test.meta)
  const name = [test.name]
  for (let suite = test.suite; suite !== undefined && !('filepath' in suite); suite = suite.suite)
    name.unshift(suite.name)
  return {
    file: taskName(cwd, test.file.filepath),
    name,
    ...(project ? { project } : {}),
    status,
    durationMs: tries.durationMs,
    ...(test.location === undefined ? {} : { line: test.location.line }),
    ...(tries.errors.length > 0 ? { errors: tries.errors } : {}),
    ...(tries.earlier.length > 0 ? { tries: tries.earlier } : {}),
    ...(note ? { reason: note } : {}),
  }
}

function* allTests(suite) {
  for (const task of suite.tasks) {
    if (task.type === 'suite') yield* allTests(task)
    else yield task
  }
}

function fileErrors(suite) {
  const errors = (suite.result?.errors ?? []).map((error) => describeError(error, cwd))
  for (const task of suite.tasks) if (task.type === 'suite') errors.push(...fileErrors(task))
  return errors
}

function fileDuration(file) {
  return [
    file.environmentLoad,
    file.prepareDuration,
    file.collectDuration,
    file.setupDuration,
    file.result?.duration,
  ].reduce((sum, one) => sum + (one || 0), 0)
}
