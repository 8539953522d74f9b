/**
 * Jest (29, 30) tells Muster what happens, through its reporter API, while it happens.
 *
 * A test that passes at its first try is reported at once; others when their file is complete, because only
 * then is it sure that they won't be tried again, and why they were. With several projects everything waits for the file: Jest's live
 * events name the wrong project.
 */
'use strict'

const { openChannel, taskName, cut, plain, outputCharsMax } = require('../report-channel.cjs')
const { describeTest, fileErrors } = require('./test-report.cjs')

const cwd = process.cwd()

class MusterReporter {
  #send = openChannel(Number(process.env.MUSTER_CHANNEL_FD))
  /** Path → { name, left: projects it still has to run in, durationMs, errors, skipped, told: name → number }. */
  #files = new Map()
  #manyProjects
  #planned

  constructor(globalConfig) {
    this.#manyProjects = globalConfig.projects.length > 1
    const sequencer = this.#manyProjects ? require(globalConfig.testSequencer) : undefined
    this.#planned = sequencer?.planned ?? new Map()
  }

  onTestFileStart(test) {
    this.#start(test.path)
  }

  onTestCaseResult(test, result) {
    if (this.#manyProjects || result.status !== 'passed' || (result.invocations ?? 1) > 1) return
    const file = this.#start(test.path)
    const key = keyOf(result)
    // A second test of this name, or a second try of its describe block: the complete file will say which.
    if (file.told.has(key)) return
    file.told.set(key, 1)
    this.#send({ type: 'test', test: describeTest(result, file.name, undefined, cwd) })
  }

  onTestFileResult(test, result) {
    const file = this.#start(test.path)
    const project = test.context.config.displayName?.name
    for (const one of result.testResults) {
      const key = keyOf(one)
      const told = file.told.get(key) ?? 0
      if (told > 0 && one.status === 'passed') file.told.set(key, told - 1)
      else this.#send({ type: 'test', test: describeTest(one, file.name, project, cwd) })
    }
    printConsole(result.console, file.name)
    file.left -= 1
    const { start = 0, end = 0 } = result.perfStats ?? {}
    file.durationMs += Math.max(0, end - start)
    file.errors.push(...fileErrors(result, cwd))
    file.skipped &&= result.skipped === true || (result.testResults.length > 0 && result.testResults.every(isSkipped))
    if (file.left > 0) return
    this.#files.delete(test.path)
    const { name, durationMs, errors, skipped } = file
    this.#send({
      type: 'file-end',
      file: name,
      durationMs,
      ...(errors.length > 0 ? { errors } : {}),
      ...(skipped ? { skipped } : {}),
    })
  }

  onRunComplete(_contexts, results) {
    const error = results.runExecError
    if (error)
      this.#send({
        type: 'error',
        error: {
          message: plain(error.message ?? String(error)),
          ...(error.stack ? { stack: cut(plain(error.stack)) } : {}),
        },
      })
    this.#send({ type: 'end' })
  }

  #start(path) {
    let file = this.#files.get(path)
    if (file === undefined) {
      file = {
        name: taskName(cwd, path),
        left: this.#planned.get(path) ?? 1,
        durationMs: 0,
        errors: [],
        skipped: true,
        told: new Map(),
      }
      this.#files.set(path, file)
      this.#send({ type: 'file-start', file: file.name })
    }
    return file
  }
}

function keyOf(result) {
  return [...result.ancestorTitles, result.title].join('\0')
}

function isSkipped(result) {
  return (
    result.status === 'pending' ||
    result.status === 'skipped' ||
    result.status === 'disabled' ||
    result.status === 'todo'
  )
}

/** Jest keeps console output by file, not by test: it is shown as output of the batch. */
function printConsole(entries, name) {
  if (!Array.isArray(entries) || entries.length === 0) return
  const text = entries
    .map((entry) => `  console.${entry.type}\n    ${entry.message.replaceAll('\n', '\n    ')}\n`)
    .join('\n')
  process.stdout.write(`${name}\n${cut(text, outputCharsMax)}\n`)
}

module.exports = MusterReporter
