/**
 * The directory of a worker's temporary files. Its path is the same each time the same worker is
 * started: tools key their caches by paths (jest hashes its cache directory's into every entry),
 * and would start cold in a directory of a random name.
 */
import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { assert } from '../stdx/assert.ts'
import { isRunning } from './process-tree.ts'

const rootsMax = 1000

/** A new, empty directory that only this user can enter; another worker of the same data directory gets another one. */
export function claimTempRoot(dataDir: string): string {
  const uid = process.getuid?.() ?? 0
  const key = createHash('sha256').update(path.resolve(dataDir)).digest('hex').slice(0, 6)
  for (let number = 0; number < rootsMax; number += 1) {
    const root = path.join(os.tmpdir(), `muster-${uid}-${key}-${number}`)
    if (isAbandoned(root, uid)) removeAside(root)
    try {
      mkdirSync(root, { mode: 0o700 })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue
      throw error
    }
    writeFileSync(path.join(root, 'pid'), String(process.pid))
    return root
  }
  assert(false, `more than ${rootsMax} workers of ${dataDir}`)
}

export function releaseTempRoot(root: string): void {
  rmSync(root, { recursive: true, force: true })
}

/** Ours, and its worker is no more. Somebody else's directory of that name is left alone. */
function isAbandoned(root: string, uid: number): boolean {
  const stats = lstatSync(root, { throwIfNoEntry: false })
  if (stats === undefined || !stats.isDirectory() || stats.uid !== uid) return false
  try {
    return !isRunning(Number(readFileSync(path.join(root, 'pid'), 'utf8')))
  } catch {
    // Being claimed right now, or damaged: the next number is as good.
    return false
  }
}

/** Out of the way at once; two that try it don't hinder each other. */
function removeAside(root: string): void {
  const aside = `${root}.${process.pid}`
  try {
    renameSync(root, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  rmSync(aside, { recursive: true, force: true })
}
