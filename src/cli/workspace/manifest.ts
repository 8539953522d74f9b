/**
 * The caller's workspace as content: every tracked and every untracked-but-not-ignored file by its
 * hash. What is ignored stays at home: dependencies are installed on the worker by the set-up
 * command. The root is the repository's, so that a package of a monorepo finds its neighbours.
 */
import { createHash } from 'node:crypto'
import { type BigIntStats } from 'node:fs'
import { lstat, readlink, realpath } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { MusterError } from '../../protocol/errors.ts'
import type { Manifest } from '../../protocol/worker-messages.ts'
import { HashCache } from './hash-cache.ts'
import { listWorkspace } from './listing.ts'
import { detectSetup } from './setup.ts'

const filesMaxDefault = 200_000
const bytesMaxDefault = 1024 ** 3
const hashedAtOnce = 8

export type WorkspaceRequest = {
  /** The suite's working directory. */
  readonly cwd: string
  /** Hashes of unchanged files are remembered here. */
  readonly cacheDir: string
  /** Instead of the one that the lockfile asks for; '' = none. */
  readonly setup?: string
  readonly filesMax?: number
  readonly bytesMax?: number
}

export type BuiltWorkspace = {
  /** Absolute. */
  readonly root: string
  readonly manifest: Manifest
  /** The working directory, relative to the root; '' = the root itself. */
  readonly cwdInRoot: string
  /** Where the content of each hash lies on this host. */
  readonly files: ReadonlyMap<string, string>
  /** Command line that installs what the workspace needs, to be run with sh in its root. */
  readonly setup: string | undefined
}

type Entry = Manifest['entries'][number]

/** Throws MusterError workspace_invalid when it is larger than allowed. */
export async function buildManifest(request: WorkspaceRequest): Promise<BuiltWorkspace> {
  const cwd = await realpath(request.cwd)
  const { root, paths, remote } = await listWorkspace(cwd)
  const found = await statAll(root, paths)
  checkSize(root, found, request.filesMax ?? filesMaxDefault, request.bytesMax ?? bytesMaxDefault)
  const hashes = await HashCache.open(request.cacheDir, root)
  const entries = await inParallel(found, (one) => makeEntry(root, one, hashes))
  await hashes.save()
  const files = new Map(
    entries.flatMap((entry) => (entry.type === 'file' ? [[entry.hash, path.join(root, entry.path)] as const] : [])),
  )
  const named = remote === undefined ? `${os.hostname()}\n${root}` : `${remote}\n${root}`
  const setup = request.setup ?? (await detectSetup(root, cwd))
  return {
    root,
    manifest: { version: 1, name: createHash('sha256').update(named).digest('hex').slice(0, 24), entries },
    cwdInRoot: path.relative(root, cwd),
    files,
    setup: setup === '' ? undefined : setup,
  }
}

type Found = { readonly path: string; readonly stats: BigIntStats }

/** What is listed but deleted, and what is neither file nor link (sockets, pipes), is left out. */
async function statAll(root: string, paths: readonly string[]): Promise<Found[]> {
  const found = await inParallel(paths, async (name): Promise<Found | undefined> => {
    const stats = await lstat(path.join(root, name), { bigint: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error
    })
    return stats !== undefined && (stats.isFile() || stats.isSymbolicLink()) ? { path: name, stats } : undefined
  })
  return found.filter((one) => one !== undefined)
}

function checkSize(root: string, found: readonly Found[], filesMax: number, bytesMax: number): void {
  const bytes = found.reduce((sum, one) => sum + Number(one.stats.size), 0)
  if (found.length <= filesMax && bytes <= bytesMax) return
  const largest = found.toSorted((a, b) => Number(b.stats.size - a.stats.size)).slice(0, 5)
  const sizes = largest.map((one) => `${one.path} (${megabytes(Number(one.stats.size))})`).join(', ')
  throw new MusterError(
    'workspace_invalid',
    `The workspace ${root} is too large to travel: expected at most ${filesMax} files and ${megabytes(bytesMax)}, found ${found.length} files and ${megabytes(bytes)}; the largest: ${sizes}`,
    { hint: 'Add what tests do not need to .gitignore, or run in place.' },
  )
}

async function makeEntry(root: string, { path: name, stats }: Found, hashes: HashCache): Promise<Entry> {
  const file = path.join(root, name)
  if (stats.isSymbolicLink()) return { path: name, type: 'symlink', target: inside(root, file, await readlink(file)) }
  const { hash, bytes } = await hashes.hash(name, file, stats)
  return { path: name, type: 'file', hash, bytes, executable: (stats.mode & 0o111n) !== 0n }
}

/** An absolute link to something inside the workspace becomes a relative one: the root differs on the worker. */
function inside(root: string, file: string, target: string): string {
  if (!target.startsWith(root + path.sep)) return target
  return path.relative(path.dirname(file), target) || '.'
}

async function inParallel<T, R>(items: readonly T[], action: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = Array.from({ length: items.length })
  const queue = items.entries()
  const work = async (): Promise<void> => {
    for (const [index, item] of queue) results[index] = await action(item)
  }
  await Promise.all(Array.from({ length: hashedAtOnce }, work))
  return results
}

function megabytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MB`
}
