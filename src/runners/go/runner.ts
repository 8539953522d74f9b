/**
 * `go test`. A task is a package (`./pkg/x`, `.` for the directory itself), because that is what Go compiles
 * and runs as one program. `go test -json` can't load a reporter, so its stdout is read (`events.ts`).
 *
 * Go's own test cache stays on, as in a run by hand: a package whose inputs did not change passes again at
 * once and is printed with `(cached)`. `-count=1` after `--` turns it off. Benchmarks are no tests.
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { MusterError } from '../../protocol/errors.ts'
import { capture, lastWords } from '../capture.ts'
import type { BatchCommand, BatchRequest, Detection, Listing, ListRequest, Project, Runner } from '../runner.ts'
import { GoReader } from './events.ts'

export const goRunner: Runner = {
  framework: 'go',
  detect,
  list,
  command,
  refusedArgs: { '-p': '--cpus', '-list': '--dry-run', '-c': 'go itself', '-json': '--json', '-n': '--dry-run' },
}

async function detect(project: Project): Promise<Detection | undefined> {
  const sign = findSign(project)
  if (sign === undefined) return undefined
  const found = { framework: 'go', version: '', ...sign } as const
  const go = findGo(project)
  if (go === undefined) return { ...found, problem: 'no go was found on PATH: install Go, e.g. from https://go.dev/dl' }
  const answer = await capture([go, 'env', 'GOVERSION'], { ...project, timeoutMs: 20_000 })
  const version = answer.stdout.trim().replace(/^go/, '')
  if (answer.code !== 0) return { ...found, entry: go, problem: `go does not work here: ${lastWords(answer, 3)}` }
  return { ...found, version, entry: go }
}

function findSign(project: Project): Pick<Detection, 'reason' | 'strength'> | undefined {
  const script = project.packageJson?.scripts?.['test']
  if (script !== undefined && /\bgo test\b/.test(script))
    return { reason: `npm test runs '${script}'`, strength: 'script' }
  const own = ['go.mod', 'go.work'].find((name) => project.entries.has(name))
  if (own !== undefined) return { reason: own, strength: 'config' }
  if (![...project.entries].some((name) => name.endsWith('.go'))) return undefined
  const module = findModule(path.dirname(project.cwd))
  return module === undefined
    ? undefined
    : { reason: path.relative(project.cwd, path.join(module, 'go.mod')), strength: 'config' }
}

function findGo(project: Project): string | undefined {
  return [...(project.env['PATH'] ?? '').split(path.delimiter), '/usr/local/go/bin', '/usr/lib/go/bin']
    .filter((folder) => folder !== '')
    .map((folder) => path.resolve(project.cwd, folder, 'go'))
    .find((file) => existsSync(file))
}

/** One line per package: import path, directory, number of test files, error. */
const template =
  '{{.ImportPath}}\t{{.Dir}}\t{{len .TestGoFiles}}\t{{len .XTestGoFiles}}\t{{with .Error}}{{printf "%q" .Err}}{{end}}'

async function list(request: ListRequest): Promise<Listing> {
  const { project, paths, args } = request
  const patterns = paths.length === 0 ? ['./...'] : paths
  const argv = [goOf(request), 'list', '-e', ...buildFlags(args), '-f', template, ...patterns]
  const answer = await capture(argv, { cwd: project.cwd, env: project.env, signal: request.signal })
  if (answer.code !== 0) {
    throw new MusterError(
      'framework_failed',
      `go could not list the packages (exit code ${answer.code}):\n${lastWords(answer)}`,
      {
        hint: `The same without Muster: go list ${[...buildFlags(args), ...patterns].join(' ')}`,
      },
    )
  }
  const files: string[] = []
  for (const line of answer.stdout.split('\n')) {
    const [importPath = '', folder = '', inside = '0', outside = '0', error = ''] = line.split('\t')
    if (importPath === '') continue
    // A pattern skips folders whose files are all for other systems, and so does `go test`.
    if (
      /build constraints exclude all Go files|no Go files in|matched no packages/.test(error) &&
      patterns.every((one) => one.includes('...'))
    )
      continue
    if (folder === '' || (error !== '' && !existsSync(folder))) {
      throw new MusterError(
        'framework_failed',
        `go could not list '${importPath}': ${error === '' ? 'it has no directory' : error}`,
      )
    }
    if (error !== '' || Number(inside) + Number(outside) > 0) files.push(taskOf(project.cwd, folder))
  }
  // Build constraints stand in the source files, so that any of them may decide whether a package has tests.
  return { files: [...new Set(files)].toSorted() }
}

function taskOf(cwd: string, folder: string): string {
  const relative = path.relative(cwd, folder).replaceAll(path.sep, '/')
  if (relative === '') return '.'
  return relative.startsWith('..') ? relative : `./${relative}`
}

async function command(request: BatchRequest): Promise<BatchCommand> {
  const { project, files, args, cpus } = request
  const split = args.findIndex((one) => one === '-args' || one === '--args')
  const [flags, own] = split === -1 ? [args, []] : [args.slice(0, split), args.slice(split)]
  const packages = new Map(
    await Promise.all(files.map(async (file) => [await importPathOf(project.cwd, file), file] as const)),
  )
  return {
    argv: [goOf(request), 'test', '-json', '-p', String(cpus), ...flags, ...files, ...own],
    env: project.env['GOMAXPROCS'] === undefined ? { GOMAXPROCS: String(cpus) } : {},
    reader: (sink) => new GoReader(sink, packages),
  }
}

/** The module's path (go.mod) and the folder within it; what events call the package. */
async function importPathOf(cwd: string, file: string): Promise<string> {
  const folder = path.resolve(cwd, file)
  const module = findModule(folder)
  if (module === undefined) return file
  const source = await readFile(path.join(module, 'go.mod'), 'utf8')
  const name = /^\s*module\s+(?:"([^"]+)"|`([^`]+)`|(\S+))/m.exec(source)
  return path.posix.join(
    name?.[1] ?? name?.[2] ?? name?.[3] ?? '',
    path.relative(module, folder).replaceAll(path.sep, '/'),
  )
}

function findModule(folder: string): string | undefined {
  if (existsSync(path.join(folder, 'go.mod'))) return folder
  const parent = path.dirname(folder)
  return parent === folder ? undefined : findModule(parent)
}

/** Those of the arguments that decide which files belong to a package. */
function buildFlags(args: readonly string[]): readonly string[] {
  const found: string[] = []
  for (let at = 0; at < args.length && args[at] !== '-args'; at += 1) {
    const match = /^--?(tags|mod|modfile|overlay|race|msan|asan)(=.*)?$/.exec(args[at]!)
    if (match === null) continue
    found.push(args[at]!)
    const alone = match[2] !== undefined || ['race', 'msan', 'asan'].includes(match[1]!)
    if (!alone && args[at + 1] !== undefined) found.push(args[at + 1]!)
  }
  return found
}

/** The detected go, or, on a host where it isn't, this host's own. */
function goOf({ project, detection }: { readonly project: Project; readonly detection: Detection }): string {
  if (detection.entry !== undefined && existsSync(detection.entry)) return detection.entry
  const go = findGo(project)
  if (go !== undefined) return go
  throw new MusterError('tool_missing', 'Cannot run go test: expected go on PATH, found none', {
    hint: 'Install Go on this host.',
  })
}
