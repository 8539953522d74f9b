/**
 * Vitest ≥ 3 tells Muster what happens, through its reporter API, while it happens. A file may run in
 * several projects (or as a type test as well): it starts with the first and ends with the last of them.
 *
 * Loaded by the project's own Vitest; what is said about a test is made in task-report.mjs.
 */
import { openChannel, cut, outputCharsMax, taskName } from '../report-channel.cjs'
import { applyBatch } from './selection.mjs'
import { describeCrash, describeError, describeTest, isCrash, moduleDuration, moduleErrors } from './task-report.mjs'

const cwd = process.cwd()

export default class MusterReporter {
  #send = openChannel(Number(process.env.MUSTER_CHANNEL_FD))
  #vitest
  /** Module path → what is known of the file; `left`: modules that haven't ended, `open`: id → module that is under way. */
  #files = new Map()
  /** Ids of tests that were reported. */
  #told = new Set()
  /** Test id → console output so far. */
  #output = new Map()

  onInit(vitest) {
    this.#vitest = vitest
    applyBatch(vitest, cwd)
  }

  onTestRunStart(specifications) {
    for (const specification of specifications) this.#file(specification.moduleId).left += 1
  }

  onTestModuleQueued(module) {
    const file = this.#file(module.moduleId)
    // Vitest makes a new object for it once its tests are known, with the same id.
    file.open.set(module.id, module)
    if (file.started) return
    file.started = true
    this.#send({ type: 'file-start', file: file.name })
  }

  onTestCaseResult(test) {
    if (test.result().state !== 'pending') this.#tell(test)
  }

  onTestModuleEnd(module) {
    const file = this.#file(module.moduleId)
    if (!file.open.has(module.id)) this.onTestModuleQueued(module)
    for (const test of module.children.allTests()) this.#tell(test)
    file.open.delete(module.id)
    file.left -= 1
    file.durationMs += moduleDuration(module)
    file.errors.push(...moduleErrors(module, cwd))
    file.skipped &&= module.state() === 'skipped'
    if (file.left <= 0 && file.open.size === 0) this.#end(file)
  }

  onUserConsoleLog(log) {
    const task = log.taskId === undefined ? undefined : this.#vitest.state.idMap.get(log.taskId)
    const entity = task === undefined ? undefined : this.#vitest.state.getReportedEntity(task)
    if (this.#vitest.config.onConsoleLog?.(log.content, log.type, entity) === false) return
    if (task?.type !== 'test') {
      if (this.#vitest.config.silent !== true) process[log.type === 'stderr' ? 'stderr' : 'stdout'].write(log.content)
      return
    }
    const before = this.#output.get(task.id) ?? ''
    if (before.length <= outputCharsMax) this.#output.set(task.id, before + log.content)
  }

  onTestRunEnd(_modules, unhandledErrors = []) {
    const crashes = unhandledErrors.filter(isCrash)
    const dead = this.#endOpenFiles(crashes)
    if (!this.#vitest.config.dangerouslyIgnoreUnhandledErrors) {
      for (const error of unhandledErrors) {
        if (dead && isCrash(error)) continue
        const path = error.VITEST_TEST_PATH
        this.#send({ type: 'error', error: describeError(error, cwd), ...(path ? { file: taskName(cwd, path) } : {}) })
      }
    }
    this.#send({ type: 'end' })
  }

  /** A module that began and never ended has lost its worker. Says whether there was one. */
  #endOpenFiles(crashes) {
    let dead = false
    for (const file of this.#files.values()) {
      if (!file.started || file.ended) continue
      for (const id of file.open.keys()) {
        dead = true
        const module = this.#vitest.state.getReportedEntity(this.#vitest.state.idMap.get(id))
        for (const test of module.children.allTests()) if (test.result().state !== 'pending') this.#tell(test)
        file.durationMs += moduleDuration(module)
      }
      if (file.open.size > 0) {
        file.errors.push(...describeCrash(crashes, cwd))
        file.skipped = false
      }
      this.#end(file)
    }
    return dead
  }

  #tell(test) {
    if (this.#told.has(test.id)) return
    this.#told.add(test.id)
    const output = this.#output.get(test.id)
    this.#output.delete(test.id)
    const result = describeTest(test, cwd)
    if (output !== undefined) result.output = cut(output, outputCharsMax)
    this.#send({ type: 'test', test: result })
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

  #file(moduleId) {
    let file = this.#files.get(moduleId)
    if (file === undefined) {
      file = {
        name: taskName(cwd, moduleId),
        left: 0,
        started: false,
        ended: false,
        durationMs: 0,
        errors: [],
        skipped: true,
        open: new Map(),
      }
      this.#files.set(moduleId, file)
    }
    return file
  }
}
