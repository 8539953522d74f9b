/**
 * Vitest (2 to 5). A batch is Vitest's own command line with our reporter: configuration, projects, pools,
 * global set-up, coverage and snapshots are exactly Vitest's. The reporter also narrows the run to the
 * batch's files and to the granted CPUs (selection.mjs says why not by arguments).
 *
 * Reporters of the project's configuration don't run: each batch would overwrite the files of the one
 * before, and Muster writes JUnit and the rest for the whole run. Those named after `--` do.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { MusterError } from '../../protocol/errors.ts'
import { capture, lastWords } from '../capture.ts'
import { findInvocations, scriptPath } from '../npm-script.ts'
import type { BatchCommand, BatchRequest, Detection, Listing, ListRequest, Project, Runner } from '../runner.ts'
import { fileOfLineFilter, readScriptArgs, splitVitestArgs } from './arguments.ts'

const versionMin = 2
const beside = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const configName = /^vitest\.(config|workspace|projects)\.[cm]?[jt]s(on)?$/

async function detect(project: Project): Promise<Detection | undefined> {
  const start = startOf(project)
  const config = [...project.entries].toSorted().find((name) => configName.test(name))
  const dependency = project.packageJson?.devDependencies?.['vitest'] ?? project.packageJson?.dependencies?.['vitest']
  if (start === undefined && config === undefined && dependency === undefined) return undefined
  const reason = start?.reason ?? config ?? 'dependency vitest'
  const common = { framework: 'vitest', reason, strength: start === undefined ? 'config' : 'script' } as const
  const installed = await findVitest(project.cwd)
  if (installed === undefined) {
    const problem = 'vitest is not installed here: install the dependencies, e.g. `npm install`'
    return { ...common, version: dependency ?? 'unknown', problem }
  }
  const { version, entry } = installed
  const tooOld = `vitest ${version} is too old: ${versionMin} or newer is needed`
  const problem = Number.parseInt(version, 10) < versionMin ? { problem: tooOld } : {}
  return { ...common, version, entry, ...problem }
}

type Start = {
  reason: string
  options: readonly string[]
  filters: readonly string[]
  env: Readonly<Record<string, string>>
  nodeArgs: readonly string[]
}

/** How the project's own test script starts Vitest. */
function startOf(project: Project): Start | undefined {
  for (const invocation of findInvocations(project, (program) => program === 'vitest')) {
    const read = readScriptArgs(invocation.args)
    if (read === undefined) continue
    return { ...read, env: invocation.env, nodeArgs: invocation.nodeArgs, reason: `npm script "${invocation.script}"` }
  }
  return undefined
}

type Package = { version: string; bin: Record<string, string>; exports: Record<string, { default: string }> }

async function findVitest(cwd: string): Promise<{ version: string; entry: string; api: string } | undefined> {
  let file: string
  try {
    file = createRequire(path.join(cwd, 'package.json')).resolve('vitest/package.json')
  } catch {
    // Not installed; detection says so.
    return undefined
  }
  const found = JSON.parse(await readFile(file, 'utf8')) as Package
  const folder = path.dirname(file)
  return {
    version: found.version,
    entry: path.join(folder, found.bin['vitest'] ?? 'vitest.mjs'),
    api: path.join(folder, found.exports['./node']?.default ?? 'dist/node.js'),
  }
}

/** The words after `vitest run` that select and configure: those of the project's script, then the user's. */
function words(request: ListRequest | BatchRequest): { options: readonly string[]; filters: readonly string[] } {
  const own = startOf(request.project)
  const users = splitVitestArgs(request.args)
  const named = [...request.paths, ...users.filters]
  return {
    options: [...(own?.options ?? []), ...users.options],
    filters: named.length > 0 ? named : (own?.filters ?? []),
  }
}

function environment(project: Project): Record<string, string> {
  return { ...startOf(project)?.env, PATH: scriptPath(project) }
}

async function list(request: ListRequest): Promise<Listing> {
  const { cwd, env } = request.project
  const installed = await findVitest(cwd)
  if (installed === undefined) throw new MusterError('framework_failed', `vitest is not installed in ${cwd}`)
  const folder = await mkdtemp(path.join(tmpdir(), 'muster-vitest-'))
  try {
    const answer = path.join(folder, 'files.json')
    const { options, filters } = words(request)
    const nodeArgs = startOf(request.project)?.nodeArgs ?? []
    const argv = ['node', ...nodeArgs, beside('./list.mjs'), installed.api, answer, ...options, ...filters]
    const said = await capture(argv, { cwd, env: { ...env, ...environment(request.project) }, signal: request.signal })
    if (said.code !== 0) {
      throw new MusterError('framework_failed', `vitest could not list its files:\n${lastWords(said)}`, {
        hint: 'Run `vitest list --filesOnly` to see the same error',
      })
    }
    const { files, dependsOn } = JSON.parse(await readFile(answer, 'utf8')) as { files: string[]; dependsOn?: string[] }
    const names = files.map((file) => path.relative(cwd, file).split(path.sep).join('/'))
    const manifest = path.join(cwd, 'package.json')
    const version = path.join(path.dirname(installed.entry), 'package.json')
    return {
      files: [...new Set(names)].toSorted(),
      ...(dependsOn === undefined ? {} : { dependsOn: [...new Set([manifest, version, ...dependsOn])] }),
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function command(request: BatchRequest): Promise<BatchCommand> {
  const { project, detection, cpus, complete, files, tempDir } = request
  const batch = path.join(tempDir, 'muster-vitest.json')
  await writeFile(batch, JSON.stringify({ cpus, ...(complete ? {} : { files }) }))
  const { options, filters } = words(request)
  const reporter = beside(Number.parseInt(detection.version, 10) < 3 ? './reporter-v2.mjs' : './reporter.mjs')
  return {
    argv: [
      'node',
      ...(startOf(project)?.nodeArgs ?? []),
      detection.entry!,
      'run',
      ...options,
      `--reporter=${reporter}`,
      ...(complete ? filters : lineFilters(project, filters, files)),
    ],
    env: { ...environment(project), MUSTER_VITEST_BATCH: batch },
  }
}

/**
 * A filter with a line number selects tests, not only files, so it has to stay. Vitest refuses one whose file
 * isn't there, and one filter makes all other files need one.
 */
function lineFilters(project: Project, filters: readonly string[], files: readonly string[]): readonly string[] {
  const withLine = filters.filter((filter) => fileOfLineFilter(filter) !== undefined)
  if (withLine.length === 0) return []
  const absolute = (file: string): string => path.resolve(project.cwd, file)
  const batch = new Set(files.map(absolute))
  const kept = withLine.filter((filter) => batch.has(absolute(fileOfLineFilter(filter)!)))
  const covered = new Set(kept.map((filter) => absolute(fileOfLineFilter(filter)!)))
  return kept.length === 0 ? [] : [...kept, ...[...batch].filter((file) => !covered.has(file))]
}

export const vitestRunner: Runner = {
  framework: 'vitest',
  detect,
  list,
  command,
  refusedArgs: {
    '--shard': '`muster run --shard i/n`',
    '--watch': '`muster run` again after a change',
    '-w': '`muster run` again after a change',
    '--ui': 'the dashboard of `muster serve`',
    '--standalone': '`muster run`',
    '--mergeReports': '`muster run`, which reports all batches as one run',
    '--merge-reports': '`muster run`, which reports all batches as one run',
  },
}
