/** `muster log export|import|verify`: a coordinator's log, or all that it keeps, as one file. */
import { createWriteStream } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { MusterError } from '../../protocol/errors.ts'
import { checkArchive, type Checked } from '../archive-check.ts'
import { importIntoCluster, importIntoDirectory } from '../archive-import.ts'
import { archiveOfCluster, archiveOfDirectory } from '../archive-source.ts'
import type { ClusterFlags } from '../open-cluster.ts'

type PlaceFlags = {
  readonly data?: string
  readonly cluster?: string
  readonly blobs?: string
  readonly etcdCa?: string
  readonly etcdCert?: string
  readonly etcdKey?: string
  readonly etcdUser?: string
}

export type ExportFlags = PlaceFlags & {
  readonly to?: string
  readonly all?: boolean
  readonly withBlobs?: boolean
  readonly withHistory?: boolean
}

type Place = { readonly directory: string } | { readonly cluster: ClusterFlags }

export async function exportCommand(flags: ExportFlags): Promise<number> {
  const place = placeOf(flags)
  if (flags.to === undefined && process.stdout.isTTY) {
    throw new MusterError('usage', 'muster log export: expected --to FILE, or stdout to be a file or a pipe')
  }
  const what = { all: flags.all === true, whole: flags.withBlobs === true, history: flags.withHistory === true }
  await using archive =
    'cluster' in place ? await archiveOfCluster(place.cluster, what) : await archiveOfDirectory(place.directory, what)
  if (flags.to === undefined) {
    await pipeline(archive.bytes, process.stdout, { end: false })
    return 0
  }
  const checked = await writeChecked(archive.bytes, resolve(flags.to))
  process.stderr.write(`exported ${archive.from} to ${flags.to}\n${wordsOf(checked)}`)
  return 0
}

/** The file has its name only when it is whole, and has been read again. */
async function writeChecked(bytes: AsyncIterable<Uint8Array>, file: string): Promise<Checked> {
  const draft = join(dirname(file), `.${basename(file)}.${process.pid}.tmp`)
  try {
    await pipeline(bytes, createWriteStream(draft, { mode: 0o600, flags: 'wx', flush: true })).catch(
      (error: unknown) => {
        const { code, message } = error as NodeJS.ErrnoException
        if (code === 'ENOSPC' || code === 'EFBIG' || code === 'EDQUOT') {
          throw new MusterError('disk_full', `Cannot write ${file}: the disk is full`, { cause: error })
        }
        if (error instanceof MusterError) throw error
        throw new MusterError('usage', `Cannot write ${file}: ${message}`, { cause: error })
      },
    )
    const checked = await checkArchive(draft)
    await rename(draft, file)
    await using directory = await open(dirname(file), 'r')
    await directory.sync()
    return checked
  } finally {
    await rm(draft, { force: true })
  }
}

export async function importCommand(file: string, flags: PlaceFlags): Promise<number> {
  const place = placeOf(flags)
  const checked = await checkArchive(file)
  if ('cluster' in place) await importIntoCluster(file, checked, place.cluster)
  else await importIntoDirectory(file, checked, place.directory)
  process.stderr.write(`imported ${file} into ${'cluster' in place ? place.cluster.cluster : place.directory}\n`)
  process.stderr.write(wordsOf(checked))
  return 0
}

export async function verifyCommand(file: string, flags: { readonly json?: boolean }): Promise<number> {
  const checked = await checkArchive(file)
  const text = flags.json ? `${JSON.stringify(summaryOf(checked), null, 2)}\n` : `${file} is whole\n${wordsOf(checked)}`
  process.stdout.write(text)
  return 0
}

function placeOf(flags: PlaceFlags): Place {
  const { data, cluster, blobs } = flags
  if ((data === undefined) === (cluster === undefined)) {
    throw new MusterError('usage', 'muster log: expected one of --data DIR and --cluster etcd://…', {
      hint: "'muster serve' says where its data is when it starts.",
    })
  }
  if (data !== undefined) return { directory: resolve(data) }
  if (blobs === undefined) {
    throw new MusterError('usage', '--cluster: expected --blobs with it, as for muster serve: snapshots are there')
  }
  const { etcdCa: ca, etcdCert: cert, etcdKey: key, etcdUser: user } = flags
  const given = Object.entries({ ca, cert, key, user }).filter(([, value]) => value !== undefined)
  return { cluster: { cluster: cluster!, blobs, credentials: Object.fromEntries(given) } }
}

function summaryOf({ header, end, state }: Checked) {
  return {
    ...header,
    counts: end.counts,
    missingBlobs: end.missingBlobs,
    byteLength: end.byteLength,
    runs: state.runs.size,
    unfinishedRuns: state.active.size,
    deadLetters: state.letters.byId.size,
  }
}

function wordsOf(checked: Checked): string {
  const { counts, runs, unfinishedRuns, deadLetters, ...rest } = summaryOf(checked)
  const snapshot = rest.snapshotPosition === null ? 'no snapshot' : `a snapshot at ${rest.snapshotPosition}`
  const lines = [
    `  log ${rest.source} of ${new Date(rest.createdAtMs).toISOString()}, written by Muster ${rest.by}`,
    `  ${snapshot}, entries ${rest.firstPosition} to ${rest.lastPosition}, epoch ${rest.epoch}`,
    `  ${runs} runs (${unfinishedRuns} unfinished), ${deadLetters} dead letters`,
    `  ${counts.blob} blobs, ${counts.context} contexts, ${counts.record > 0 ? 'the tokens' : 'no tokens'}, ${counts.file > 0 ? 'the history' : 'no history'}`,
  ]
  if (rest.missingBlobs > 0) lines.push(`  ${rest.missingBlobs} blobs that it names were gone already when it was made`)
  return `${lines.join('\n')}\n`
}
