/** Reads an archive from its first to its last byte, and says what is in it; nothing else may be done with it before. */
import { createReadStream } from 'node:fs'
import { access, constants, stat } from 'node:fs/promises'
import { ArchiveFold } from '../coordinator/archive.ts'
import { openArchive, type ArchiveEnd, type ArchiveHeader, type Part } from '../log/archive.ts'
import { MusterError } from '../protocol/errors.ts'
import type { State } from '../core/state.ts'

export type Checked = { readonly header: ArchiveHeader; readonly end: ArchiveEnd; readonly state: State }

export async function* partsOfFile(file: string): AsyncGenerator<Part, ArchiveEnd> {
  const reader = await openFile(file)
  return yield* reader.parts()
}

async function openFile(file: string) {
  try {
    // Opening a pipe would wait for whoever writes to it.
    if (!(await stat(file)).isFile()) throw new Error('it is no plain file')
    await access(file, constants.R_OK)
  } catch (error) {
    throw new MusterError('not_found', `Cannot read the archive ${file}: ${(error as Error).message}`, { cause: error })
  }
  return openArchive(createReadStream(file), file)
}

/** Throws MusterError archive_invalid, naming the first thing that is wrong. */
export async function checkArchive(file: string): Promise<Checked> {
  const reader = await openFile(file)
  const fold = new ArchiveFold(file)
  const parts = reader.parts()
  for (;;) {
    const next = await parts.next()
    if (next.done) return { header: reader.header, end: next.value, state: fold.state }
    fold.take(next.value)
  }
}
