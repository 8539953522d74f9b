/**
 * What a batch changes in a Vitest that is otherwise started by its own command line: exactly which
 * files run, and how many at once. Called from a reporter's `onInit`, which every major since 2 awaits
 * after its configuration is resolved and before it looks for files.
 *
 * Positional filters can't do this: they match substrings, are compared file by file (20,000 × 20,000),
 * and have to fit on a command line. Loaded by the project's own Node: no dependencies.
 */
import fs from 'node:fs'
import path from 'node:path'

/** The variable that names the batch's file: JSON `{ cpus, files? }`; without files every file runs. */
export const batchVariable = 'MUSTER_VITEST_BATCH'

export function applyBatch(vitest, cwd) {
  const batch = JSON.parse(fs.readFileSync(process.env[batchVariable], 'utf8'))
  limitWorkers(vitest, batch.cpus)
  if (batch.files !== undefined)
    selectFiles(vitest, new Set(batch.files.map((file) => normal(path.resolve(cwd, file)))))
}

function selectFiles(vitest, wanted) {
  for (const project of vitest.projects) {
    const glob = project.globTestFiles
    if (typeof glob !== 'function')
      throw new Error(
        'Muster expected vitest projects to have globTestFiles(): this version of vitest is not supported',
      )
    project.globTestFiles = async function globTestFiles(...args) {
      const found = await glob.apply(this, args)
      const only = (files) => files.filter((file) => wanted.has(normal(file)))
      return { ...found, testFiles: only(found.testFiles), typecheckTestFiles: only(found.typecheckTestFiles) }
    }
  }
}

function normal(file) {
  return file.split(path.sep).join('/')
}

/**
 * Never more than the granted CPUs, and never more than the user's own limit (a suite that says
 * `maxWorkers: 1` can't stand two). Without a limit of the user's: all that was granted.
 */
function limitWorkers(vitest, cpus) {
  const configs = new Set([vitest.config, ...vitest.projects.map((project) => project.config)])
  for (const config of configs) {
    config.maxWorkers = Math.min(ownLimit(config) ?? cpus, cpus)
    if (config.minWorkers !== undefined) config.minWorkers = Math.min(config.minWorkers, config.maxWorkers)
    // Vitest 2 and 3 also have limits per pool, which come first.
    for (const pool of Object.values(config.poolOptions ?? {})) {
      for (const limit of ['maxForks', 'minForks', 'maxThreads', 'minThreads']) {
        if (typeof pool?.[limit] === 'number') pool[limit] = Math.min(pool[limit], cpus)
      }
    }
  }
}

function ownLimit(config) {
  if (config.fileParallelism === false || config.browser?.fileParallelism === false || config.inspector?.enabled)
    return 1
  // Vitest 5 fills in its default, and says beside it whether the user had set one.
  if (config.providedOptions !== undefined && !config.providedOptions.maxWorkers) return undefined
  return config.maxWorkers
}
