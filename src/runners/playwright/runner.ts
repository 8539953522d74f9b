/**
 * Playwright test (1.50 and newer): `playwright test` with the project's own configuration and the arguments of its test script, our reporter beside
 * the `list` reporter, and one exact filter per file. Web servers, global set-up and project dependencies stay Playwright's
 * business, and so does parallelism, unless fewer CPUs are granted than the host has: then its workers are capped, never raised.
 *
 * The listing can't be kept: a file is listed when it has tests, so it depends on the content of all of them.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { MusterError } from '../../protocol/errors.ts'
import { channelFd } from '../channel.ts'
import { findInvocations, scriptPath } from '../npm-script.ts'
import { capture } from '../capture.ts'
import type { BatchCommand, BatchRequest, Detection, Listing, ListRequest, Project, Runner } from '../runner.ts'
import { exactFilter, filterWithout, splitPlaywrightArgs } from './arguments.ts'

const reporter = fileURLToPath(new URL('./reporter.cjs', import.meta.url))
const configName = /^playwright\.config\.[cm]?[jt]s$/
const versionMin = [1, 50] as const

const recognise = (program: string, args: readonly string[]): boolean => program === 'playwright' && args[0] === 'test'

async function detect(project: Project): Promise<Detection | undefined> {
  const found = findInvocations(project, recognise)
  const first = found[0]
  const config = [...project.entries].find((name) => configName.test(name))
  const { dependencies, devDependencies } = project.packageJson ?? {}
  const dependency = devDependencies?.['@playwright/test'] ?? dependencies?.['@playwright/test']
  const reason =
    first !== undefined
      ? `npm script "${first.script}": ${['playwright', ...first.args].join(' ')}${found.length > 1 ? ` (the first of ${found.length})` : ''}`
      : (config ?? (dependency !== undefined ? 'dependency @playwright/test' : undefined))
  if (reason === undefined) return undefined
  const common = { framework: 'playwright', reason, strength: first === undefined ? 'config' : 'script' } as const
  const installed = await findPlaywright(project.cwd)
  if (installed === undefined) {
    return {
      ...common,
      version: dependency ?? 'unknown',
      problem: '@playwright/test is not installed here: install the dependencies, e.g. `npm install`',
    }
  }
  const { version, entry } = installed
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < versionMin[0] || (major === versionMin[0] && minor < versionMin[1])) {
    return {
      ...common,
      version,
      entry,
      problem: `Playwright ${version} is too old: ${versionMin.join('.')} or newer is needed`,
    }
  }
  return { ...common, version, entry }
}

async function findPlaywright(cwd: string): Promise<{ version: string; entry: string } | undefined> {
  const require = createRequire(path.join(cwd, 'package.json'))
  for (const name of ['@playwright/test', 'playwright']) {
    let file: string
    try {
      file = require.resolve(`${name}/package.json`)
    } catch {
      // Not this one; detection says when it is neither.
      continue
    }
    const { version } = JSON.parse(await readFile(file, 'utf8')) as { version: string }
    return { version, entry: path.join(path.dirname(file), 'cli.js') }
  }
  return undefined
}

type Start = {
  readonly argv: readonly string[]
  readonly filters: readonly string[]
  readonly workers: boolean
  readonly env: Record<string, string>
}

function startOf(request: ListRequest | BatchRequest): Start {
  const { project, detection, paths, args } = request
  const invocation = findInvocations(project, recognise)[0]
  const own = splitPlaywrightArgs(invocation?.args.slice(1) ?? [])
  const users = splitPlaywrightArgs(args)
  const named = [...paths, ...users.filters]
  return {
    argv: [
      'node',
      ...(invocation?.nodeArgs ?? []),
      detection.entry!,
      'test',
      ...own.options,
      ...users.options,
      `--reporter=list,${reporter}`,
    ],
    filters: named.length > 0 ? named : own.filters,
    workers: own.workers || users.workers,
    env: { ...invocation?.env, PATH: scriptPath(project) },
  }
}

type Listed = {
  readonly files: readonly string[]
  /** Files that could not be loaded. */
  readonly broken: readonly string[]
  readonly workers?: number
  readonly errors: readonly string[]
  /** Of the tests in each file. */
  readonly tags?: Readonly<Record<string, readonly string[]>>
}

/**
 * What Playwright would run. One file that can't be loaded keeps it from listing anything; then it is asked again without that file,
 * so that the others are known.
 */
async function ask(request: ListRequest | BatchRequest, signal?: AbortSignal): Promise<Listed> {
  const { filters } = startOf(request)
  const first = await askOnce(request, filters, signal)
  if (first.broken.length === 0) return first
  const broken = first.broken.map((file) => path.resolve(request.project.cwd, file))
  const rest = await askOnce(request, [filterWithout(broken, filters)], signal)
  return { ...rest, files: [...first.broken, ...rest.files, ...rest.broken] }
}

async function askOnce(
  request: ListRequest | BatchRequest,
  filters: readonly string[],
  signal?: AbortSignal,
): Promise<Listed> {
  const folder = await mkdtemp(path.join(tmpdir(), 'muster-playwright-'))
  try {
    const output = path.join(folder, 'listing.json')
    const file = path.join(folder, 'request.json')
    await writeFile(file, JSON.stringify({ list: output }))
    const { argv, env } = startOf(request)
    const { stdout, stderr } = await capture([...argv, '--list', ...filters], {
      cwd: request.project.cwd,
      env: { ...request.project.env, ...env, MUSTER_PLAYWRIGHT: file },
      ...(signal === undefined ? {} : { signal }),
    })
    const said = stdout + stderr
    const text = await readFile(output, 'utf8').catch(() => undefined)
    const listed = text === undefined ? undefined : (JSON.parse(text) as Listed)
    if (listed !== undefined && listed.files.length + listed.broken.length > 0) return listed
    const why = listed === undefined ? said.trim().slice(-4000) : listed.errors.join('\n')
    if (/No tests found/.test(why) || listed?.errors.length === 0) return { files: [], broken: [], errors: [] }
    throw new MusterError('framework_failed', `Playwright could not list its tests:\n${why}`, {
      hint: 'Run `npx playwright test --list` to see the same error',
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function list(request: ListRequest): Promise<Listing> {
  const { files, tags = {} } = await ask(request, request.signal)
  return { files: [...new Set(files)].toSorted(), ...(Object.keys(tags).length === 0 ? {} : { tags }) }
}

async function command(request: BatchRequest): Promise<BatchCommand> {
  const { argv, filters, env } = startOf(request)
  const file = path.join(request.tempDir, 'muster-playwright.json')
  await writeFile(file, JSON.stringify({ files: request.files, channelFd }))
  const chosen = request.complete
    ? filters
    : request.files.map((one) => exactFilter(path.resolve(request.project.cwd, one)))
  return { argv: [...argv, ...(await workersArgs(request)), ...chosen], env: { ...env, MUSTER_PLAYWRIGHT: file } }
}

/** Playwright's own number stands, unless it is more than the granted CPUs. Only Playwright knows it: it may be computed. */
async function workersArgs(request: BatchRequest): Promise<readonly string[]> {
  if (request.cpus >= availableParallelism() || startOf(request).workers) return []
  const { workers } = await ask(request)
  return workers === undefined || workers > request.cpus ? [`--workers=${request.cpus}`] : []
}

export const playwrightRunner: Runner = {
  framework: 'playwright',
  detect,
  list,
  command,
  refusedArgs: {
    '--shard': '`muster run --shard`',
    '--ui': '`npx playwright test --ui`',
    '--debug': '`npx playwright test --debug`',
    '--last-failed': '`muster run --last-failed`',
  },
}
