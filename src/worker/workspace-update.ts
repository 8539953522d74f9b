/**
 * Makes a directory hold what a manifest says, touching only what differs: files changed since (by
 * tests, or in the new manifest) are restored, files that only the former manifest had are deleted,
 * everything else that lies there (node_modules, build outputs) stays. What was written is kept in
 * an index with size and times, so that the next update reads no content.
 */
import {
  constants,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  type Stats,
} from 'node:fs'
import { chmod, copyFile } from 'node:fs/promises'
import path from 'node:path'
import { setImmediate as yieldToLoop } from 'node:timers/promises'
import { MusterError } from '../protocol/errors.ts'
import type { Manifest } from '../protocol/worker-messages.ts'
import type { ManifestEntry } from './workspace-entries.ts'

/** What an entry should be, and how its file looked right after it was written; '' = being written. */
type Index = Record<string, { readonly is: string; readonly print: string }>

export type UpdateRequest = {
  readonly root: string
  readonly indexFile: string
  readonly manifest: Manifest
  readonly signal: AbortSignal
  /** Makes sure that the contents of these files are at hand. */
  readonly fetch: (entries: readonly Extract<ManifestEntry, { type: 'file' }>[]) => Promise<void>
  readonly contentPath: (hash: string) => string
}

export type UpdateCounts = { written: number; deleted: number; unchanged: number }

const copiedAtOnce = 8

export async function updateWorkspace(request: UpdateRequest): Promise<UpdateCounts> {
  const { root, indexFile, manifest, signal } = request
  mkdirSync(root, { recursive: true, mode: 0o700 })
  const before = readIndex(indexFile)
  const after: Index = {}
  const counts: UpdateCounts = { written: 0, deleted: 0, unchanged: 0 }
  const differing: ManifestEntry[] = []
  const directories = new Directories(root)
  let looked = 0
  for (const entry of manifest.entries) {
    const known = before[entry.path]
    const isSame =
      known !== undefined &&
      known.is === describe(entry) &&
      directories.isReal(path.dirname(entry.path)) &&
      known.print === print(root, entry.path)
    if (isSame) after[entry.path] = known
    else differing.push(entry)
    looked += 1
    if (looked % 500 === 0) await yieldToLoop()
  }
  counts.unchanged = manifest.entries.length - differing.length
  await request.fetch(differing.filter((entry) => entry.type === 'file'))
  signal.throwIfAborted()
  // First what is about to be written, so that an update cut short leaves nothing that a later one doesn't know.
  for (const entry of differing) after[entry.path] = { is: '', print: '' }
  const gone = Object.keys(before).filter((name) => !Object.hasOwn(after, name))
  writeIndex(indexFile, { ...before, ...after })
  for (const name of gone) if (deleteEntry(directories, root, name)) counts.deleted += 1
  const queue = differing.values()
  const writeSome = async (): Promise<void> => {
    for (const entry of queue) {
      signal.throwIfAborted()
      await writeEntry(request, directories, entry)
      after[entry.path] = { is: describe(entry), print: print(root, entry.path)! }
      counts.written += 1
    }
  }
  await Promise.all(Array.from({ length: copiedAtOnce }, writeSome))
  writeIndex(indexFile, after)
  return counts
}

async function writeEntry(request: UpdateRequest, directories: Directories, entry: ManifestEntry): Promise<void> {
  directories.make(path.dirname(entry.path))
  const target = path.join(request.root, entry.path)
  rmSync(target, { recursive: true, force: true })
  if (entry.type === 'symlink') return symlinkSync(entry.target, target)
  // EXCL also refuses to follow a link that appeared meanwhile.
  await copyFile(request.contentPath(entry.hash), target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
  await chmod(target, entry.executable ? 0o755 : 0o644)
}

function deleteEntry(directories: Directories, root: string, name: string): boolean {
  if (!directories.isReal(path.dirname(name))) return false
  const target = path.join(root, name)
  const stats = lstat(target)
  if (stats === undefined || stats.isDirectory()) return false
  rmSync(target)
  for (let parent = path.dirname(name); parent !== '.'; parent = path.dirname(parent)) {
    try {
      rmdirSync(path.join(root, parent))
    } catch {
      // Something else lies in it: it stays.
      break
    }
    directories.forget(parent)
  }
  return true
}

/** The directories of a workspace that are known to be ones, and not links that lead elsewhere. */
class Directories {
  readonly #root: string
  readonly #real = new Set<string>(['.'])

  constructor(root: string) {
    this.#root = root
  }

  isReal(name: string): boolean {
    if (this.#real.has(name)) return true
    if (!this.isReal(path.dirname(name)) || lstat(path.join(this.#root, name))?.isDirectory() !== true) return false
    this.#real.add(name)
    return true
  }

  /** What stands in its way and is no directory goes; a link is removed, not followed. */
  make(name: string): void {
    if (this.isReal(name)) return
    this.make(path.dirname(name))
    const target = path.join(this.#root, name)
    rmSync(target, { force: true })
    mkdirSync(target)
    this.#real.add(name)
  }

  forget(name: string): void {
    this.#real.delete(name)
  }
}

function describe(entry: ManifestEntry): string {
  return entry.type === 'symlink' ? `link ${entry.target}` : `${entry.executable ? 'executable' : 'file'} ${entry.hash}`
}

/** Changes with every write and every change of mode. */
function print(root: string, name: string): string | undefined {
  const stats = lstat(path.join(root, name))
  return stats && `${stats.ino}:${stats.size}:${stats.mtimeMs}:${stats.ctimeMs}`
}

function lstat(target: string): Stats | undefined {
  try {
    return lstatSync(target, { throwIfNoEntry: false })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined
    throw error
  }
}

function readIndex(file: string): Index {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Index
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw new MusterError('workspace_invalid', `Cannot read the index ${file}: ${(error as Error).message}`, {
      hint: `Remove ${path.dirname(file)}: it is made anew.`,
      cause: error,
    })
  }
}

function writeIndex(file: string, index: Index): void {
  writeFileSync(`${file}.new`, JSON.stringify(index))
  renameSync(`${file}.new`, file)
}
