/**
 * Vitest's reported tasks (≥ 3) in Muster's words. Loaded by the project's own Vitest.
 */
import path from 'node:path'
import { plain, taskName, toTestError } from '../report-channel.cjs'

export function describeTest(test, cwd) {
  const { state, errors = [], note } = test.result()
  const { duration = 0, retryCount = 0 } = test.diagnostic() ?? {}
  const project = projectName(test.project.name, test.meta())
  const tries = splitTries(
    errors.map((error) => describeError(error, cwd)),
    state,
    duration,
    retryCount,
  )
  const mode = test.options.mode
  const result = {
    file: taskName(cwd, test.module.moduleId),
    name: namePath(test),
    ...(project ? { project } : {}),
    status: mode === 'todo' ? 'todo' : state === 'pending' ? 'skipped' : state,
    durationMs: tries.durationMs,
  }
  if (test.location !== undefined) result.line = test.location.line
  if (tries.errors.length > 0) result.errors = tries.errors
  if (tries.earlier.length > 0) result.tries = tries.earlier
  if (note) result.reason = note
  else if (state === 'pending') result.reason = 'not run: the run was stopped before'
  return result
}

/** A file's type test has the same tests as its run; they must not be taken for one another. */
export function projectName(name, meta) {
  return [name, meta?.typecheck ? 'typecheck' : ''].filter((one) => one).join(' ')
}

function namePath(test) {
  const names = [test.name]
  for (let suite = test.parent; suite.type === 'suite'; suite = suite.parent) names.unshift(suite.name)
  return names
}

/**
 * Vitest keeps one list of errors and one duration for all tries of a test. A try usually throws once,
 * so with at least one error per failed try the first ones belong to the earlier tries; the time is
 * shared out evenly.
 */
export function splitTries(errors, state, duration, retryCount) {
  if (retryCount === 0) return { errors, durationMs: duration, earlier: [] }
  const durationMs = duration / (retryCount + 1)
  const earlier = []
  for (let at = 0; at < retryCount; at += 1) {
    const own = errors.slice(at, at + 1)
    earlier.push({ status: 'failed', durationMs, ...(own.length > 0 ? { errors: own } : {}) })
  }
  return {
    errors: state === 'passed' ? [] : errors.slice(Math.min(retryCount, errors.length - 1)),
    durationMs,
    earlier,
  }
}

/** Load errors and failed hooks: of the module and of every suite in it. */
export function moduleErrors(module, cwd) {
  const errors = [...module.errors()]
  for (const suite of module.children.allSuites()) errors.push(...suite.errors())
  return errors.map((error) => describeError(error, cwd))
}

/** What it cost, without the time it waited for a worker. */
export function moduleDuration(module) {
  const diagnostic = module.diagnostic()
  const { environmentSetupDuration, prepareDuration, collectDuration, setupDuration, duration } = diagnostic
  return [environmentSetupDuration, prepareDuration, collectDuration, setupDuration, duration].reduce(
    (sum, one) => sum + (one || 0),
    0,
  )
}

/** Frames that Vitest has already mapped to the source come before the raw stack. */
export function describeError(error, cwd) {
  const described = toTestError(error, cwd)
  if (error !== null && typeof error === 'object' && Array.isArray(error.stacks)) {
    const own = error.stacks.find((frame) => isOwn(path.relative(cwd, frame.file)))
    if (own !== undefined) Object.assign(described, { file: taskName(cwd, own.file), line: own.line })
  }
  // A diff that isn't made of two values, e.g. a snapshot's.
  if (typeof error?.diff === 'string' && described.expected === undefined && described.actual === undefined) {
    described.message = `${described.message}\n\n${plain(error.diff)}`
  }
  return described
}

function isOwn(relative) {
  return !relative.startsWith('..') && !path.isAbsolute(relative) && !relative.split(path.sep).includes('node_modules')
}

/** Vitest's words for a worker that died under a test file. */
export function isCrash(error) {
  const text = `${error?.message ?? ''}\n${error?.cause?.message ?? ''}`
  return /worker .*(emitted error|exited|terminated)|exited unexpectedly|channel closed|terminating worker/i.test(text)
}

/** Errors of a file whose worker died, in the words that Vitest has for it. */
export function describeCrash(crashes, cwd) {
  const what = 'The worker that ran this file ended before the file was finished'
  if (crashes.length === 0) return [{ message: what, type: 'WorkerCrash' }]
  return crashes.map((error) => ({
    ...describeError(error, cwd),
    message: `${what}: ${plain(error.cause?.message ?? error.message)}`,
    type: 'WorkerCrash',
  }))
}
