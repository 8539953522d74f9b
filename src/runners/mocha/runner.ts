/**
 * mocha (10 and newer). mocha is started as the project starts it: its own entry file, the arguments
 * of the project's own test script, and `--require` of our `reporter.cjs`, which sees mocha's own list of files
 * (so every `.mocharc`, glob, `--ignore` and `--file` is honoured by mocha itself), narrows it to the batch and reports.
 *
 * mocha runs serially in one process unless the project says `--parallel`; then the granted CPUs cap its jobs.
 *
 * Known limit: `.only` is a matter of one process for mocha. In a run of several batches the files of another
 * batch don't know of it, and run in full.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { MusterError } from '../../protocol/errors.ts'
import { channelFd } from '../channel.ts'
import { findInvocations, scriptPath } from '../npm-script.ts'
import type { Invocation } from '../npm-script.ts'
import { capture } from '../capture.ts'
import type { BatchCommand, BatchRequest, Detection, Listing, ListRequest, Project, Runner } from '../runner.ts'
import { splitMochaArgs } from './arguments.ts'
import { followFiles } from './follow-files.ts'
import { narrow } from './narrow.ts'

const reporter = fileURLToPath(new URL('./reporter.cjs', import.meta.url))
const versionMin = 10
const configNames = [
  '.mocharc.js',
  '.mocharc.cjs',
  '.mocharc.mjs',
  '.mocharc.yaml',
  '.mocharc.yml',
  '.mocharc.jsonc',
  '.mocharc.json',
]

async function detect(project: Project): Promise<Detection | undefined> {
  const invocation = invocationOf(project)
  const config = configNames.find((name) => project.entries.has(name))
  const dependency = project.packageJson?.devDependencies?.['mocha'] ?? project.packageJson?.dependencies?.['mocha']
  const reason =
    invocation !== undefined
      ? `npm script "${invocation.script}": ${['mocha', ...invocation.args].join(' ')}${invocation.more}`
      : (config ??
        (project.packageJson?.['mocha'] !== undefined
          ? 'package.json "mocha"'
          : dependency !== undefined
            ? 'dependency mocha'
            : undefined))
  if (reason === undefined) return undefined
  const common = { framework: 'mocha', reason, strength: invocation === undefined ? 'config' : 'script' } as const
  const installed = await findMocha(project.cwd)
  if (installed === undefined) {
    return {
      ...common,
      version: dependency ?? 'unknown',
      problem: 'mocha is not installed here: install the dependencies, e.g. `npm install`',
    }
  }
  const { version, entry } = installed
  if (Number.parseInt(version, 10) < versionMin) {
    return { ...common, version, entry, problem: `mocha ${version} is too old: ${versionMin} or newer is needed` }
  }
  return { ...common, version, entry }
}

/** The project's own start of mocha; `more` remarks on what had to be left out. */
function invocationOf(project: Project): (Invocation & { more: string }) | undefined {
  const found = findInvocations(project, (program) => program === 'mocha' || program === '_mocha')
  const first = found[0]
  if (first === undefined) return undefined
  return { ...first, more: found.length > 1 ? ` (the first of ${found.length})` : '' }
}

async function findMocha(cwd: string): Promise<{ version: string; entry: string; main: string } | undefined> {
  const require = createRequire(path.join(cwd, 'package.json'))
  let file: string
  try {
    file = require.resolve('mocha/package.json')
  } catch {
    // Not installed; detection says so.
    return undefined
  }
  const { version, bin } = JSON.parse(await readFile(file, 'utf8')) as {
    version: string
    bin: string | Record<string, string>
  }
  const entry = typeof bin === 'string' ? bin : (bin['mocha'] ?? 'bin/mocha.js')
  return { version, entry: path.join(path.dirname(file), entry), main: path.dirname(file) }
}

/** Everything but what is specific to a listing or a batch. */
function start(request: ListRequest | BatchRequest): { argv: string[]; env: Record<string, string> } {
  const { project, detection, paths, args } = request
  const invocation = invocationOf(project)
  const own = splitMochaArgs(invocation?.args ?? [])
  const users = splitMochaArgs(args)
  const named = [...paths, ...users.specs]
  const specs = named.length > 0 ? named : own.specs
  return {
    argv: [
      'node',
      ...(invocation?.nodeArgs ?? []),
      detection.entry!,
      '--require',
      reporter,
      ...own.options,
      ...users.options,
      ...specs,
    ],
    env: { ...invocation?.env, PATH: scriptPath(project) },
  }
}

/** What `reporter.cjs` reads; MUSTER_MOCHA names the file. */
async function writeRequest(folder: string, request: ListRequest | BatchRequest, more: object): Promise<string> {
  const file = path.join(folder, 'muster-mocha.json')
  const entry = request.detection.entry!
  const mocha = path.join(path.dirname(entry), '..')
  await writeFile(file, JSON.stringify({ entry, mocha: createRequire(entry).resolve(mocha), channelFd, ...more }))
  return file
}

async function list(request: ListRequest): Promise<Listing> {
  const folder = await mkdtemp(path.join(tmpdir(), 'muster-mocha-'))
  try {
    const output = path.join(folder, 'listing.json')
    const requestFile = await writeRequest(folder, request, { list: output })
    const { argv, env } = start(request)
    const { stdout, stderr } = await capture(argv, {
      cwd: request.project.cwd,
      env: { ...request.project.env, ...env, MUSTER_MOCHA: requestFile },
      signal: request.signal,
    })
    const said = stdout + stderr
    const text = await readFile(output, 'utf8').catch(() => undefined)
    if (text === undefined) {
      if (/No test files? found/i.test(said)) return { files: [] }
      throw new MusterError('framework_failed', `mocha could not list its files:\n${said.trim().slice(-4000)}`, {
        hint: 'Run mocha itself to see the same error',
      })
    }
    const { files, modules, serial } = JSON.parse(text) as { files: string[]; modules: string[]; serial: boolean }
    const { cwd, entries } = request.project
    const named = [...request.paths, ...splitMochaArgs(request.args).specs]
    const kept = narrow(cwd, files, named)
    const configs = ['package.json', ...configNames]
      .filter((name) => entries.has(name))
      .map((name) => path.join(cwd, name))
    // An ES module's imports can't be seen from outside.
    const unknowable =
      entries.has('.mocharc.mjs') || (entries.has('.mocharc.js') && request.project.packageJson?.['type'] === 'module')
    return { files: kept, serial, ...(unknowable ? {} : { dependsOn: [...new Set([...configs, ...modules])] }) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function command(request: BatchRequest): Promise<BatchCommand> {
  const events = path.join(request.tempDir, 'muster-mocha-events.jsonl')
  const loading = path.join(request.tempDir, 'muster-mocha-loading')
  const requestFile = await writeRequest(request.tempDir, request, {
    files: request.files,
    cpus: request.cpus,
    events,
    loading,
  })
  const { argv, env } = start(request)
  return {
    argv,
    env: { ...env, MUSTER_MOCHA: requestFile },
    reader: (sink) => followFiles(sink, events, loading),
  }
}

export const mochaRunner: Runner = {
  framework: 'mocha',
  detect,
  list,
  command,
  refusedArgs: {
    '--watch': '`muster run` again after a change',
    '-w': '`muster run` again after a change',
  },
}
