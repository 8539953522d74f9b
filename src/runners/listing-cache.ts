/**
 * Keeps a listing on disk and hands it out again while nothing that decides it has changed: who asked what
 * (framework, version, directory, paths, arguments, environment), the names of all files in the workspace, and
 * size and time of every file that the runner says it depends on. Correct rather than clever: whatever can't be
 * compared is asked anew, and a damaged entry is no entry.
 *
 * It leaves out the content of test files: none of the frameworks lists by content alone without the runner
 * naming such files in `dependsOn`.
 */
import { hash } from 'node:crypto'
import { readdirSync, realpathSync, statSync } from 'node:fs'
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Listing, ListRequest, Runner } from './runner.ts'

const formatVersion = 3
const entriesMax = 200
/** A workspace with more names than this is listed anew each time. */
const namesMax = 500_000

type Entry = {
  readonly names: string
  readonly stamps: readonly (readonly [file: string, stamp: string])[]
  readonly listing: Listing
}

/** As `runner.list`, from the cache when that is certain to be the same. */
export async function cachedList(runner: Runner, request: ListRequest, cacheDir: string): Promise<Listing> {
  const names = leavesWorkspace(request.project.cwd, request.paths) ? undefined : fingerprintNames(request.project.cwd)
  if (names === undefined) return runner.list(request)
  const file = path.join(cacheDir, `${keyOf(runner, request)}.json`)
  const entry = await read(file)
  if (entry !== undefined && entry.names === names && entry.stamps.every(([name, stamp]) => stampOf(name) === stamp)) {
    return entry.listing
  }
  const startedMs = Date.now()
  const listing = await runner.list(request)
  const stamps = listing.dependsOn?.map((name) => [name, stampOf(name)] as const)
  const outside = listing.files.some((one) => one.startsWith('../') || path.isAbsolute(one))
  // What changed while the framework was looking may have been seen before or after the change.
  const settled = stamps?.every(([name]) => changedMs(name) < startedMs - 20) ?? false
  if (stamps !== undefined && settled && !outside && names === fingerprintNames(request.project.cwd)) {
    await write(cacheDir, file, { names, stamps, listing })
  }
  return listing
}

/** Differ from shell to shell and decide nothing. */
const irrelevant =
  /^(_|PWD|OLDPWD|SHLVL|TERM.*|COLUMNS|LINES|COLORTERM|WINDOWID|SSH_.*|XDG_SESSION_.*|TMUX.*|STY|DISPLAY|MUSTER_.*)$/

function keyOf(runner: Runner, request: ListRequest): string {
  const { project, detection, paths, args, suite } = request
  const env = Object.entries(project.env)
    .filter(([name]) => !irrelevant.test(name))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
  const parts = [
    formatVersion,
    runner.framework,
    detection.version,
    detection.entry,
    project.cwd,
    paths,
    args,
    suite,
    env,
  ]
  return hash('sha256', JSON.stringify(parts.map((part) => part ?? null)))
}

function leavesWorkspace(cwd: string, paths: readonly string[]): boolean {
  return paths.some((one) => path.relative(cwd, path.resolve(cwd, one)).startsWith('..'))
}

/** No framework looks for tests in these, and running tests creates files in some of them. */
const skipped = new Set([
  'node_modules',
  '.git',
  '.hg',
  '.svn',
  '__pycache__',
  '.pytest_cache',
  '.mypy_cache',
  '.ruff_cache',
  '.muster',
])

/**
 * One hash of the names of all files below the directory; undefined when there are too many. Synchronous: for
 * thousands of small directory reads that is several times as fast, and nothing else happens meanwhile.
 */
export function fingerprintNames(root: string): string | undefined {
  const names: string[] = []
  const linked = new Set([realpathSync(root)])
  const waiting = ['']
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const entries = readdirSync(path.join(root, folder), { withFileTypes: true })
    // A virtual environment: thousands of files of others.
    if (entries.some((entry) => entry.name === 'pyvenv.cfg')) continue
    for (const entry of entries) {
      const name = folder === '' ? entry.name : `${folder}/${entry.name}`
      const isFolder = entry.isSymbolicLink() ? isNewFolder(path.join(root, name), linked) : entry.isDirectory()
      if (isFolder && !skipped.has(entry.name)) waiting.push(name)
      if (!isFolder) names.push(name)
    }
    if (names.length > namesMax) return undefined
  }
  return hash('sha256', names.toSorted().join('\0'))
}

/** Links to folders are followed once each, so that a circle ends. */
function isNewFolder(link: string, seen: Set<string>): boolean {
  if (statSync(link, { throwIfNoEntry: false })?.isDirectory() !== true) return false
  const real = realpathSync(link)
  if (seen.has(real)) return false
  seen.add(real)
  return true
}

function stampOf(file: string): string {
  const found = statSync(file, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? 'absent' : `${found.size}-${found.mtimeNs}-${found.ino}`
}

function changedMs(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

async function read(file: string): Promise<Entry | undefined> {
  try {
    const entry = JSON.parse(await readFile(file, 'utf8')) as Partial<Entry>
    const complete =
      typeof entry.names === 'string' && Array.isArray(entry.stamps) && Array.isArray(entry.listing?.files)
    return complete ? (entry as Entry) : undefined
  } catch {
    // Absent, unreadable or cut off: the framework is asked.
    return undefined
  }
}

async function write(cacheDir: string, file: string, entry: Entry): Promise<void> {
  try {
    await mkdir(cacheDir, { recursive: true })
    const part = `${file}.${process.pid}.part`
    await writeFile(part, JSON.stringify(entry))
    await rename(part, file)
    await prune(cacheDir)
  } catch {
    // A full disk or a read-only home costs the time saved and nothing else.
  }
}

async function prune(cacheDir: string): Promise<void> {
  const names = await readdir(cacheDir)
  if (names.length <= entriesMax) return
  const ages = await Promise.all(
    names.map(async (name) => ({ name, atMs: (await stat(path.join(cacheDir, name))).mtimeMs })),
  )
  const oldest = ages.toSorted((a, b) => a.atMs - b.atMs).slice(0, names.length - entriesMax / 2)
  await Promise.all(oldest.map(({ name }) => rm(path.join(cacheDir, name), { force: true })))
}
