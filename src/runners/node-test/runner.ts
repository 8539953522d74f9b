/**
 * node:test, run by `node --test` of the project's own Node (20 and newer), with the options and patterns of the project's test
 * script. Which files that means is asked of Node itself: it differs between versions. `borp`, a thin wrapper round the
 * same test runner, is understood too: its files and options are handed to `node --test`.
 */
import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { MusterError } from '../../protocol/errors.ts'
import { channelFd } from '../channel.ts'
import { findInvocations, scriptPath } from '../npm-script.ts'
import type { Invocation } from '../npm-script.ts'
import { capture } from '../capture.ts'
import type { BatchCommand, BatchRequest, Detection, Listing, ListRequest, Project, Runner } from '../runner.ts'
import { asPattern, splitNodeTestArgs } from './arguments.ts'
import { readBorp } from './borp.ts'

const here = new URL('./', import.meta.url)
const reporter = fileURLToPath(new URL('reporter.mjs', here))
const skipFile = fileURLToPath(new URL('skip-file.cjs', here))
const majorMin = 20
/** From here on the words after `--test` are patterns, not names. */
const majorWithPatterns = 21

const recognise = (program: string, args: readonly string[]): boolean =>
  ((program === 'node' || program === 'tsx') && args.includes('--test')) || program === 'borp'

async function detect(project: Project): Promise<Detection | undefined> {
  const found = findInvocations(project, recognise)
  const first = found[0]
  const files =
    first === undefined &&
    globSync('{test,tests,src,lib}/**/*{.,-,_}test.{js,mjs,cjs,ts,mts,cts}', { cwd: project.cwd })
  if (files !== false && (await importsNodeTest(project.cwd, files)) === false) return undefined
  const reason =
    first === undefined
      ? 'test files that import node:test'
      : `npm script "${first.script}": ${[first.program, ...first.args].join(' ')}${found.length > 1 ? ` (the first of ${found.length})` : ''}`
  const common = { framework: 'node', reason, strength: first === undefined ? 'files' : 'script' } as const
  const version = await nodeVersion(project)
  if (version === undefined)
    return { ...common, version: 'unknown', problem: 'no `node` was found in PATH: install Node' }
  if (major(version) < majorMin)
    return { ...common, version, problem: `Node ${version} is too old: ${majorMin} or newer is needed` }
  return { ...common, version }
}

/** Looks at a few files only: this is a guess for projects whose script says nothing. */
async function importsNodeTest(cwd: string, files: readonly string[]): Promise<boolean> {
  for (const file of files.filter((one) => !one.includes('node_modules')).slice(0, 5)) {
    if (/['"]node:test['"]/.test(await readFile(path.join(cwd, file), 'utf8'))) return true
  }
  return false
}

function nodeVersion(project: Project): Promise<string | undefined> {
  return new Promise((resolve) => {
    const env = { ...project.env, PATH: scriptPath(project) }
    execFile('node', ['--version'], { cwd: project.cwd, env }, (error, stdout) => {
      resolve(error === null ? stdout.trim().replace(/^v/, '') : undefined)
    })
  })
}

function major(version: string): number {
  return Number.parseInt(version, 10)
}

type Start = {
  readonly options: readonly string[]
  readonly patterns: readonly string[]
  readonly ignore: readonly string[]
  readonly concurrency: number | undefined
  readonly env: Record<string, string>
}

/** How the project and the user want it started. Paths and patterns of the user stand in for those of the script. */
async function startOf(request: ListRequest | BatchRequest): Promise<Start> {
  const { project, paths, args } = request
  const invocation = findInvocations(project, recognise)[0]
  const own = await ownArgs(project, invocation)
  const users = splitNodeTestArgs(args)
  const named = [...paths, ...users.patterns]
  return {
    options: [...own.options, ...users.options],
    patterns: named.length > 0 ? named : own.patterns,
    ignore: own.ignore ?? [],
    concurrency: users.concurrency ?? own.concurrency,
    env: { ...invocation?.env, PATH: scriptPath(project) },
  }
}

async function ownArgs(
  project: Project,
  invocation: Invocation | undefined,
): Promise<Omit<Start, 'env' | 'ignore' | 'concurrency'> & { ignore?: readonly string[]; concurrency?: number }> {
  if (invocation === undefined) return { options: [], patterns: [] }
  if (invocation.program === 'borp') return await readBorp(project.cwd, invocation.args)
  const split = splitNodeTestArgs(invocation.args)
  return invocation.program === 'tsx' ? { ...split, options: ['--import', 'tsx', ...split.options] } : split
}

async function list(request: ListRequest): Promise<Listing> {
  const start = await startOf(request)
  const folder = await mkdtemp(path.join(tmpdir(), 'muster-node-test-'))
  try {
    const output = path.join(folder, 'listing.json')
    const file = path.join(folder, 'request.json')
    await writeFile(file, JSON.stringify({ list: output }))
    const patterns = expandFolders(request, start)
    const argv = [...start.options, '--require', skipFile, '--test', ...reporterArgs, ...patterns]
    const { stdout, stderr } = await capture(['node', ...argv], {
      cwd: request.project.cwd,
      env: { ...request.project.env, ...start.env, MUSTER_NODE_TEST: file },
      signal: request.signal,
    })
    const said = stdout + stderr
    const text = await readFile(output, 'utf8').catch(() => undefined)
    if (text === undefined) {
      if (/Could not find/.test(said)) return { files: [] }
      throw new MusterError('framework_failed', `node --test could not list its files:\n${said.trim().slice(-4000)}`, {
        hint: 'Run `node --test` itself to see the same error',
      })
    }
    const files = (JSON.parse(text) as string[]).filter(
      (one) => !start.ignore.some((pattern) => path.posix.matchesGlob(one, pattern)),
    )
    const configs = ['package.json', '.borp.yaml', '.borp.yml'].filter((name) => request.project.entries.has(name))
    return {
      files: [...new Set(files)].toSorted(),
      dependsOn: configs.map((name) => path.join(request.project.cwd, name)),
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** borp's patterns work on every Node, so where Node itself knows no patterns they are expanded here. */
function expandFolders(request: ListRequest, start: Start): readonly string[] {
  if (major(request.detection.version) >= majorWithPatterns || !start.patterns.some((one) => /[*?[{]/.test(one)))
    return start.patterns
  if (findInvocations(request.project, recognise)[0]?.program !== 'borp') return start.patterns
  const { cwd } = request.project
  return start.patterns.flatMap((pattern) => globSync(pattern, { cwd, exclude: (name) => name === 'node_modules' }))
}

const reporterArgs = [`--test-reporter=${pathToFileURL(reporter).href}`, '--test-reporter-destination=stdout']

async function command(request: BatchRequest): Promise<BatchCommand> {
  const start = await startOf(request)
  const file = path.join(request.tempDir, 'muster-node-test.json')
  await writeFile(file, JSON.stringify({ files: request.files, channelFd }))
  const names = major(request.detection.version) >= majorWithPatterns ? request.files.map(asPattern) : request.files
  return {
    argv: [
      'node',
      ...start.options,
      '--test',
      ...concurrencyArgs(request.cpus, start.concurrency),
      ...reporterArgs,
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      ...names,
    ],
    env: { ...start.env, MUSTER_NODE_TEST: file },
  }
}

/** Node's own default is one process less than the host has CPUs; it stands where all of them were granted. */
function concurrencyArgs(cpus: number, wanted: number | undefined): readonly string[] {
  if (wanted !== undefined) return [`--test-concurrency=${Math.min(wanted, cpus)}`]
  return cpus >= availableParallelism() && cpus > 2 ? [] : [`--test-concurrency=${cpus}`]
}

export const nodeTestRunner: Runner = {
  framework: 'node',
  detect,
  list,
  command,
  refusedArgs: {
    '--test-shard': '`muster run --shard`',
    '--watch': '`muster run` again after a change',
    '--test-isolation=none': 'one process per file (Node’s default)',
    '--experimental-test-isolation=none': 'one process per file (Node’s default)',
  },
}
