/**
 * Where an archive comes from: a coordinator that runs (over its socket: it holds its log alone), the
 * data directory of one that doesn't, or a cluster's shared log, which can be read whoever leads.
 */
import { randomUUID } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { join } from 'node:path'
import { readTokens, tokensRecord } from '../api/tokens.ts'
import { Client } from '../client/client.ts'
import { DirectoryBlobs } from '../blobs/directory.ts'
import { archiveOf, type ArchiveSource } from '../coordinator/archive.ts'
import { DirectoryContexts } from '../coordinator/contexts.ts'
import { logName } from '../coordinator/log-name.ts'
import { recover } from '../coordinator/recover.ts'
import { defaultLimits } from '../core/limits.ts'
import type { Part } from '../log/archive.ts'
import { SqliteLog } from '../log/sqlite.ts'
import { isMusterError, MusterError } from '../protocol/errors.ts'
import { clientName } from './connect.ts'
import { NodeTransport } from './node-transport.ts'
import { openShared, sharedContexts, sharedSecrets, type ClusterFlags } from './open-cluster.ts'
import { packageVersion, socketPath } from './places.ts'

export type ExportWhat = { readonly all: boolean; readonly whole: boolean; readonly history: boolean }
type Opened = AsyncDisposable & { readonly bytes: AsyncIterable<Uint8Array>; readonly from: string }

const historyFiles = ['history.duckdb', 'history.duckdb.wal']
const pieceBytes = 4 * 1024 * 1024

export async function archiveOfDirectory(directory: string, what: ExportWhat): Promise<Opened> {
  if (!existsSync(join(directory, 'log', 'log.sqlite'))) {
    const socket = await fromCoordinator(directory, what)
    if (socket) return socket
    throw new MusterError('not_found', `There is no log in ${directory}`, {
      hint: "'muster serve' keeps its own in --data DIR, the daemon in 'host' below MUSTER_DATA or ~/.local/share/muster.",
    })
  }
  return (await fromCoordinator(directory, what)) ?? (await fromFiles(directory, what))
}

/** Undefined when none answers there. */
async function fromCoordinator(directory: string, what: ExportWhat): Promise<Opened | undefined> {
  const socket = socketPath(directory)
  if (!existsSync(socket)) return undefined
  const transport = new NodeTransport(`unix:${socket}`)
  const client = new Client(transport, clientName())
  try {
    await client.health()
  } catch (error) {
    transport.close()
    if (isMusterError(error) && error.code === 'coordinator_unreachable') return undefined
    throw error
  }
  if (what.history) {
    transport.close()
    throw new MusterError(
      'conflict',
      `The coordinator of ${directory} is running, and its history can't be copied meanwhile`,
      {
        hint: 'Stop it, or leave --with-history out: what the log still holds is applied again after an import.',
      },
    )
  }
  const bytes = client.bytes(`/log/archive?all=${what.all}&whole=${what.whole}`)
  return {
    bytes,
    from: `the running coordinator of ${directory}`,
    [Symbol.asyncDispose]: async () => transport.close(),
  }
}

async function fromFiles(directory: string, what: ExportWhat): Promise<Opened> {
  const log = await SqliteLog.open(join(directory, 'log'))
  try {
    const blobs = await DirectoryBlobs.open(join(directory, 'blobs'))
    const source: ArchiveSource = {
      log,
      source: await logName(directory),
      version: packageVersion(),
      blobs,
      contexts: await DirectoryContexts.open(join(directory, 'contexts')),
      state: async () => (await recover(log, defaultLimits)).state,
      records: async () => tokensRecord(readTokens(directory)),
      ...(what.history ? { more: () => historyParts(directory) } : {}),
    }
    const bytes = await archiveOf(source, { all: what.all, whole: what.whole, nowMs: Date.now() })
    return { bytes, from: directory, [Symbol.asyncDispose]: () => log[Symbol.asyncDispose]() }
  } catch (error) {
    await log[Symbol.asyncDispose]()
    throw error
  }
}

async function* historyParts(directory: string): AsyncGenerator<Part> {
  for (const name of historyFiles) {
    const file = join(directory, 'history', name)
    if (!existsSync(file)) continue
    let offset = 0
    for await (const bytes of createReadStream(file, { highWaterMark: pieceBytes }) as AsyncIterable<Buffer>) {
      yield { part: 'file', path: `history/${name}`, offset, bytes }
      offset += bytes.length
    }
  }
}

export async function archiveOfCluster(flags: ClusterFlags, what: ExportWhat): Promise<Opened> {
  if (what.history) {
    throw new MusterError('usage', '--with-history: each coordinator of a cluster has a history of its own', {
      hint: 'Leave it out: what the log still holds is applied again.',
    })
  }
  const { log, blobs } = await openShared(flags, (text) => process.emitWarning(text))
  try {
    if ((await log.head()).epoch === 0) {
      throw new MusterError('not_found', `There is no log at ${flags.cluster}`, { hint: 'Check the prefix.' })
    }
    const secrets = await sharedSecrets(log)
    const source: ArchiveSource = {
      log,
      source: await log.record('name', () => randomUUID()),
      version: packageVersion(),
      blobs,
      contexts: sharedContexts(blobs, secrets),
      state: async () => (await recover(log, defaultLimits)).state,
      records: async () => tokensRecord(secrets),
    }
    const bytes = await archiveOf(source, { all: what.all, whole: what.whole, nowMs: Date.now() })
    return { bytes, from: flags.cluster, [Symbol.asyncDispose]: () => log[Symbol.asyncDispose]() }
  } catch (error) {
    await log[Symbol.asyncDispose]()
    throw error
  }
}
