/**
 * Any command, as a suite of `muster.config.*` describes it: which files there are, how to run some of them,
 * and whether a JUnit report or the exit code says what happened. The placeholders are `{files}`, `{cpus}` and
 * `{junit}`; no shell is involved.
 *
 * Files that a report doesn't cover are not reported, so that the ledger shows them as lost: a command that
 * ends well without saying a word about a file has not tested it.
 */
import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { glob } from 'tinyglobby'
import { MusterError } from '../../protocol/errors.ts'
import { assert } from '../../stdx/assert.ts'
import { capture, lastWords } from '../capture.ts'
import type {
  BatchCommand,
  BatchRequest,
  CommandSuite,
  Detection,
  Listing,
  ListRequest,
  Project,
  Runner,
} from '../runner.ts'
import { ReportReader } from './report-reader.ts'

export const commandRunner: Runner = { framework: 'command', detect, list, command }

async function detect(project: Project): Promise<Detection | undefined> {
  const file = [...project.entries].find((name) => /^muster\.config\.(ts|mts|js|mjs|cjs|json)$/.test(name))
  return file === undefined ? undefined : { framework: 'command', version: '', reason: file, strength: 'config' }
}

async function list(request: ListRequest): Promise<Listing> {
  const { project, paths } = request
  const suite = suiteOf(request)
  const found =
    'command' in suite.discover
      ? await askCommand(request, suite.discover.command)
      : await matchPatterns(project, suite.discover)
  const files = [...new Set(found)]
    .toSorted()
    .filter((file) => paths.length === 0 || paths.some((one) => covers(one, file, project.cwd)))
  // A command may look at anything; patterns look at names only.
  return 'command' in suite.discover ? { files } : { files, dependsOn: [] }
}

async function matchPatterns(project: Project, patterns: readonly string[]): Promise<readonly string[]> {
  return glob([...patterns], {
    cwd: project.cwd,
    ignore: ['**/node_modules/**', '**/.git/**'],
    dot: false,
    expandDirectories: false,
  })
}

async function askCommand(request: ListRequest, argv: readonly string[]): Promise<readonly string[]> {
  const { project, signal } = request
  const answer = await capture(argv, { cwd: project.cwd, env: { ...project.env, ...request.suite?.env }, signal })
  if (answer.code !== 0) {
    const how = answer.startError === undefined ? `exit code ${answer.code}` : 'it could not be started'
    throw new MusterError(
      'framework_failed',
      `'${argv.join(' ')}' could not list its files (${how}):\n${lastWords(answer)}`,
    )
  }
  return answer.stdout
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) =>
      (path.isAbsolute(line) ? path.relative(project.cwd, line) : path.normalize(line)).replaceAll(path.sep, '/'),
    )
}

/** A path given by the user covers a file: itself, a folder above it, or a pattern. */
function covers(given: string, file: string, cwd: string): boolean {
  const one = path.relative(cwd, path.resolve(cwd, given)).replaceAll(path.sep, '/')
  return one === '' || file === one || file.startsWith(`${one}/`) || path.matchesGlob(file, one)
}

async function command(request: BatchRequest): Promise<BatchCommand> {
  const suite = suiteOf(request)
  return suite.results === 'exit-code' ? oneProcessPerFile(request, suite) : oneProcess(request, suite)
}

async function oneProcess(request: BatchRequest, suite: CommandSuite): Promise<BatchCommand> {
  const { files, args, cpus, tempDir, project } = request
  const report = path.join(tempDir, 'junit.xml')
  // `{junit}/…`: the command wants a folder, and few make it themselves.
  if (suite.run.some((word) => word.includes('{junit}/'))) await mkdir(report)
  return {
    argv: [...fill(suite.run, { files, cpus, report }), ...args],
    ...(suite.env === undefined ? {} : { env: suite.env }),
    reader: (sink) => new ReportReader(sink, { files, cwd: project.cwd, reports: () => readReports(report) }),
  }
}

async function oneProcessPerFile(request: BatchRequest, suite: CommandSuite): Promise<BatchCommand> {
  const { files, args, cpus, tempDir } = request
  const report = path.join(tempDir, 'junit.xml')
  // A command that takes {cpus} is parallel itself, so one at a time; any other gets one CPU per process.
  const parallelItself = suite.run.some((word) => word.includes('{cpus}'))
  const order = {
    cpus: parallelItself ? 1 : cpus,
    files: files.map((file) => ({ file, argv: [...fill(suite.run, { files: [file], cpus, report }), ...args] })),
  }
  const orderFile = path.join(tempDir, 'order.json')
  await writeFile(orderFile, JSON.stringify(order))
  return {
    argv: [process.execPath, path.join(import.meta.dirname, 'exit-code-driver.mjs'), orderFile],
    ...(suite.env === undefined ? {} : { env: suite.env }),
  }
}

type Values = { readonly files: readonly string[]; readonly cpus: number; readonly report: string }

/** `{files}` alone becomes one argument per file; inside a word, the files joined by commas. */
function fill(words: readonly string[], values: Values): readonly string[] {
  return words.flatMap((word) =>
    word === '{files}'
      ? values.files
      : [
          word.replaceAll(/\{(files|cpus|junit)\}/g, (_, key: string) =>
            key === 'files' ? values.files.join(',') : key === 'cpus' ? String(values.cpus) : values.report,
          ),
        ],
  )
}

/** The report, or all `.xml` files below it when the command made a folder of it. */
async function readReports(report: string): Promise<readonly { readonly file: string; readonly text: string }[]> {
  const found = await stat(report).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (found === undefined) return []
  const files = found.isDirectory()
    ? (await readdir(report, { recursive: true }))
        .filter((name) => name.endsWith('.xml'))
        .map((name) => path.join(report, name))
    : [report]
  return Promise.all(files.toSorted().map(async (file) => ({ file, text: await readFile(file, 'utf8') })))
}

function suiteOf(request: { readonly suite?: CommandSuite }): CommandSuite {
  assert(request.suite !== undefined, 'the command runner needs its suite')
  return request.suite
}
