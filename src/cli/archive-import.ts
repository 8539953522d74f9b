/**
 * Writes a checked archive where there is nothing yet. A data directory is made beside its place and
 * renamed when it is complete. In a cluster, blobs and contexts go first, which without a log mean
 * nothing to anybody, and the log is there whole or not at all.
 */
import { mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { writeTokens, type Tokens } from '../api/tokens.ts'
import type { Blobs } from '../blobs/blobs.ts'
import { DirectoryBlobs } from '../blobs/directory.ts'
import { withContexts } from '../coordinator/archive.ts'
import { DirectoryContexts, type Contexts } from '../coordinator/contexts.ts'
import { importIntoEtcd, refuseFullEtcd } from '../log/etcd/import.ts'
import { etcdCredentialsFromEnvironment, parseEtcdUrl } from '../log/etcd/url.ts'
import type { Part } from '../log/archive.ts'
import type { LogContents } from '../log/export.ts'
import type { Entry, Snapshot } from '../log/log.ts'
import { importIntoSqlite } from '../log/sqlite-import.ts'
import { MusterError } from '../protocol/errors.ts'
import type { RunContext } from '../protocol/worker-messages.ts'
import { partsOfFile, type Checked } from './archive-check.ts'
import { newSecrets, openSharedBlobs, sharedContexts, type ClusterFlags } from './open-cluster.ts'
import { privateDirectory } from './places.ts'

const filePattern = /^history\/[a-z.]+$/

export async function importIntoDirectory(file: string, { header }: Checked, directory: string): Promise<void> {
  const target = resolve(directory)
  await refuseFull(target)
  const draft = join(dirname(target), `.${basename(target)}.import-${process.pid}`)
  try {
    await mkdir(draft, { recursive: true, mode: 0o700 })
    const blobs = await DirectoryBlobs.open(join(draft, 'blobs'))
    const contexts = await DirectoryContexts.open(join(draft, 'contexts'))
    const { tokens, names } = await storeBelongings(file, { blobs, contexts, draft })
    if (tokens) writeTokens(draft, tokens)
    await importIntoSqlite(join(draft, 'log'), await contentsOf(file, header, names))
    await writeFile(join(draft, 'log', 'name'), header.source, { mode: 0o600 })
    await refuseFull(target)
    await rename(draft, target)
    await syncDirectory(dirname(target))
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
  privateDirectory(target)
}

export async function importIntoCluster(file: string, { header }: Checked, flags: ClusterFlags): Promise<void> {
  const credentials = { ...etcdCredentialsFromEnvironment(process.env), ...flags.credentials }
  const blobs = await openSharedBlobs(flags.blobs)
  const place = { address: parseEtcdUrl(flags.cluster), credentials, blobs }
  await refuseFullEtcd(place)
  const secrets = newSecrets()
  const { tokens, names } = await storeBelongings(file, {
    blobs,
    contexts: sharedContexts(blobs, secrets),
  })
  const records = { name: header.source, secrets: JSON.stringify({ ...secrets, ...tokens }) }
  await importIntoEtcd(place, await contentsOf(file, header, names), records)
}

async function refuseFull(directory: string): Promise<void> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw new MusterError('usage', `Cannot import into ${directory}: ${error.message}`, { cause: error })
  })
  if (names.length === 0) return
  throw new MusterError('conflict', `Cannot import into ${directory}: expected an empty directory, found ${names[0]}`, {
    hint: 'Choose another one; nothing that is there is ever overwritten.',
  })
}

/** The archive is read once for the snapshot, which stands first, and once for the entries. */
async function contentsOf(
  file: string,
  { epoch, firstPosition }: Checked['header'],
  names: ReadonlyMap<string, string>,
): Promise<LogContents> {
  let snapshot: Snapshot | undefined
  for await (const part of partsOfFile(file)) {
    if (part.part === 'snapshot') snapshot = { position: part.position, bytes: withContexts(part, names).bytes }
    break
  }
  async function* entries(): AsyncGenerator<Entry> {
    for await (const part of partsOfFile(file)) {
      if (part.part === 'entry') {
        yield { position: part.position, epoch: part.epoch, bytes: withContexts(part, names).bytes }
      } else if (part.part !== 'snapshot') return
    }
  }
  return { epoch, firstPosition, snapshot, entries }
}

type Belongings = {
  readonly tokens: Tokens | undefined
  /** What the contexts are called now, by what the archive's log calls them. */
  readonly names: ReadonlyMap<string, string>
}

async function storeBelongings(
  file: string,
  { blobs, contexts, draft }: { readonly blobs: Blobs; readonly contexts: Contexts; readonly draft?: string },
): Promise<Belongings> {
  let tokens: Tokens | undefined
  const names = new Map<string, string>()
  for await (const part of partsOfFile(file)) {
    if (part.part === 'blob') await blobs.put(part.bytes)
    else if (part.part === 'context') {
      const context = JSON.parse(Buffer.from(part.bytes).toString('utf8')) as RunContext
      const name = await contexts.put(part.run, context)
      if (name !== part.reference) names.set(part.reference, name)
    } else if (part.part === 'record' && part.name === 'tokens') {
      tokens = JSON.parse(Buffer.from(part.bytes).toString('utf8')) as Tokens
    } else if (part.part === 'file' && draft !== undefined) await writeFilePiece(draft, part)
  }
  return { tokens, names }
}

/** A piece of a file that the archive has, below `draft`. */
export async function writeFilePiece(draft: string, part: Extract<Part, { part: 'file' }>): Promise<void> {
  if (!filePattern.test(part.path))
    throw new MusterError('archive_invalid', `Cannot use the file '${part.path}' of the archive`)
  const path = join(draft, part.path)
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await using handle = await open(path, part.offset === 0 ? 'w' : 'r+', 0o600)
  await handle.write(part.bytes, 0, part.bytes.length, part.offset)
  await handle.sync()
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r')
  await directory.sync()
}
