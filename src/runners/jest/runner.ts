/**
 * Jest (29 and 30). A batch is Jest's own command line with our reporter, started by entry.cjs so that any
 * number of files fits; files are given with `--runTestsByPath`, which takes paths and not patterns.
 *
 * Reporters of the project's configuration don't run: each batch would overwrite the files of the one
 * before, and Muster writes JUnit and the rest for the whole run. Those named after `--` do. Lines of tests
 * are only known with `-- --testLocationInResults`: it is part of what Jest's transform cache is kept under,
 * so setting it would make every switch between Jest and Muster a cold start.
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
import { hasSelection, readScriptArgs, splitJestArgs, withoutSelection } from './arguments.ts'

const versionMin = 29
const beside = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const configName = /^jest\.config\.([cm]?[jt]s|json)$/

async function detect(project: Project): Promise<Detection | undefined> {
  const start = startOf(project)
  const config = [...project.entries].toSorted().find((name) => configName.test(name))
  const own = project.packageJson?.['jest'] === undefined ? undefined : 'package.json "jest"'
  const dependency = project.packageJson?.devDependencies?.['jest'] ?? project.packageJson?.dependencies?.['jest']
  const sign = config ?? own ?? (dependency === undefined ? undefined : 'dependency jest')
  if (start === undefined && sign === undefined) return undefined
  const reason = start?.reason ?? sign!
  const common = { framework: 'jest', reason, strength: start === undefined ? 'config' : 'script' } as const
  const installed = await findJest(project.cwd)
  if (installed === undefined) {
    const problem = 'jest is not installed here: install the dependencies, e.g. `npm install`'
    return { ...common, version: dependency ?? 'unknown', problem }
  }
  const tooOld = `jest ${installed.version} is too old: ${versionMin} or newer is needed`
  return {
    ...common,
    ...installed,
    ...(Number.parseInt(installed.version, 10) < versionMin ? { problem: tooOld } : {}),
  }
}

type Start = {
  readonly reason: string
  readonly options: readonly string[]
  readonly patterns: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly nodeArgs: readonly string[]
}

/** How the project's own test script starts Jest. */
function startOf(project: Project): Start | undefined {
  const [invocation] = findInvocations(project, (program) => program === 'jest' || program === 'jest-cli')
  if (invocation === undefined) return undefined
  const { env, nodeArgs } = invocation
  return { ...readScriptArgs(invocation.args), env, nodeArgs, reason: `npm script "${invocation.script}"` }
}

async function findJest(cwd: string): Promise<{ version: string; entry: string } | undefined> {
  let file: string
  try {
    file = createRequire(path.join(cwd, 'package.json')).resolve('jest/package.json')
  } catch {
    // Not installed; detection says so.
    return undefined
  }
  const { version, bin } = JSON.parse(await readFile(file, 'utf8')) as {
    version: string
    bin: string | Record<string, string>
  }
  const entry = typeof bin === 'string' ? bin : (bin['jest'] ?? './bin/jest.js')
  return { version, entry: path.join(path.dirname(file), entry) }
}

type Words = { readonly options: readonly string[]; readonly patterns: readonly string[] }

/** The words after `jest`: those of the project's script, then the user's. */
function words(request: ListRequest | BatchRequest): Words {
  const own = startOf(request.project)
  const users = splitJestArgs(request.args)
  const named = [...request.paths, ...users.patterns]
  return {
    options: [...(own?.options ?? []), ...users.options],
    patterns: named.length > 0 ? named : (own?.patterns ?? []),
  }
}

async function start(
  request: ListRequest | BatchRequest,
  folder: string,
  more: object,
): Promise<Required<Pick<BatchCommand, 'argv' | 'env'>>> {
  const own = startOf(request.project)
  const file = path.join(folder, 'muster-jest.json')
  await writeFile(file, JSON.stringify({ bin: request.detection.entry, ...more }))
  return {
    argv: ['node', ...(own?.nodeArgs ?? []), beside('./entry.cjs'), file],
    env: { ...own?.env, PATH: scriptPath(request.project), MUSTER_JEST_BIN: request.detection.entry! },
  }
}

async function list(request: ListRequest): Promise<Listing> {
  const { cwd } = request.project
  const folder = await mkdtemp(path.join(tmpdir(), 'muster-jest-'))
  try {
    const answer = path.join(folder, 'files.json')
    const { options, patterns } = words(request)
    const all = [...options, '--listTests', '--json', '--passWithNoTests', ...positionals(patterns)]
    const { argv, env } = await start(request, folder, { words: all, list: answer })
    const said = await capture(argv, { cwd, env: { ...request.project.env, ...env }, signal: request.signal })
    const text = said.code === 0 ? await readFile(answer, 'utf8').catch(() => undefined) : undefined
    if (text === undefined) {
      throw new MusterError('framework_failed', `jest could not list its files:\n${lastWords(said)}`, {
        hint: 'Run `jest --listTests` to see the same error',
      })
    }
    const { files, dependsOn } = JSON.parse(text) as { files: string[]; dependsOn?: string[] }
    const names = files.map((file) => path.relative(cwd, file).split(path.sep).join('/'))
    const known =
      dependsOn !== undefined && !hasSelection(options) && !options.some((word) => word.startsWith('--filter'))
    const version = path.join(path.dirname(request.detection.entry!), '..', 'package.json')
    return {
      files: [...new Set(names)].toSorted(),
      ...(known ? { dependsOn: [...new Set([path.join(cwd, 'package.json'), version, ...dependsOn])] } : {}),
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function command(request: BatchRequest): Promise<BatchCommand> {
  const { complete, cpus, files, project } = request
  const { options, patterns } = words(request)
  const ours = [`--reporters=${beside('./reporter.cjs')}`]
  const selection = complete
    ? [...options, ...ours, ...positionals(patterns)]
    : [
        ...withoutSelection(options),
        ...ours,
        '--runTestsByPath',
        ...positionals(files.map((file) => path.resolve(project.cwd, file))),
      ]
  return await start(request, request.tempDir, { words: selection, cpus })
}

/** Behind `--`, because options that take several values would take them. */
function positionals(all: readonly string[]): readonly string[] {
  return all.length === 0 ? [] : ['--', ...all]
}

export const jestRunner: Runner = {
  framework: 'jest',
  detect,
  list,
  command,
  refusedArgs: {
    '--shard': '`muster run --shard i/n`',
    '--watch': '`muster run` again after a change',
    '--watchAll': '`muster run` again after a change',
    '--listTests': '`muster run --dry-run`',
  },
}
