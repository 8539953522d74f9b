/**
 * A coordinator's whole content as an archive, and an archive's content as state again. What the log names
 * and doesn't hold (blobs, private contexts, tokens) goes along when a whole backup is wanted. Reading
 * an archive folds it as a coordinator would, so that one that was checked can be served.
 *
 * History is not in it: it is a projection, and what the log still holds is applied again.
 */
import type { Readable } from 'node:stream'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { Blobs } from '../blobs/blobs.ts'
import { apply } from '../core/advance.ts'
import { decodeEntry, encodeEntry } from '../core/events.ts'
import { readableFormat } from '../core/format.ts'
import { defaultLimits } from '../core/limits.ts'
import { restore, type SnapshotData } from '../core/snapshot.ts'
import { emptyState, type State } from '../core/state.ts'
import { archiveVersion, encodeArchive, invalid, type ArchiveHeader, type Part, type Written } from '../log/archive.ts'
import { exportLog } from '../log/export.ts'
import type { Log } from '../log/log.ts'
import type { RunContext } from '../protocol/worker-messages.ts'
import { contextReferences } from './contexts.ts'
import { letterManifests, namedBlobs } from './named-blobs.ts'
import { workspaceBlobs } from './workspace-check.ts'

export type ArchiveSource = {
  readonly log: Log
  /** Name of the log. */
  readonly source: string
  readonly version: string
  readonly blobs: Pick<Blobs, 'get'>
  readonly contexts: { get(reference: string): Promise<RunContext | undefined> }
  /** At least as new as the log's end; says which blobs and contexts there are. */
  readonly state: () => Promise<State> | State
  /** Small secrets: the tokens. */
  readonly records: () => Promise<readonly { readonly name: string; readonly bytes: Uint8Array }[]>
  /** Further parts, at the end. */
  readonly more?: () => AsyncIterable<Part>
}

export type ArchiveOptions = {
  /** From the first entry that is kept. */
  readonly all?: boolean
  /** Blobs, private contexts and tokens too: a whole backup. */
  readonly whole?: boolean
  readonly nowMs: number
}

/** Compressed. */
export async function archiveOf(source: ArchiveSource, options: ArchiveOptions): Promise<Readable> {
  const log = await exportLog(source.log, options.all === undefined ? {} : { all: options.all })
  const header: ArchiveHeader = {
    archive: 'muster log',
    version: archiveVersion,
    createdAtMs: options.nowMs,
    by: source.version,
    source: source.source,
    epoch: log.epoch,
    firstPosition: log.firstPosition,
    lastPosition: log.lastPosition,
    snapshotPosition: log.snapshotPosition,
    with: [...(options.whole ? (['blobs', 'private'] as const) : []), ...(source.more ? (['history'] as const) : [])],
  }
  async function* parts(): AsyncGenerator<Written> {
    yield* log.parts()
    if (options.whole) yield* belongings(source)
    if (source.more) yield* source.more()
  }
  return encodeArchive(header, parts())
}

async function* belongings(source: ArchiveSource): AsyncGenerator<Written> {
  const state = await source.state()
  const references = contextReferences(state)
  // A sealed context is a blob that only its cluster can read: it goes along as what it says.
  const sealed = new Set(references.values())
  for (const key of await neededBlobs(state, source.blobs)) {
    if (sealed.has(key)) continue
    const bytes = await source.blobs.get(key)
    yield bytes === undefined ? { missing: key } : { part: 'blob', key, bytes }
  }
  for (const [run, reference] of references) {
    const context = await source.contexts.get(reference)
    if (context) yield { part: 'context', run, reference, bytes: Buffer.from(JSON.stringify(context)) }
  }
  for (const { name, bytes } of await source.records()) yield { part: 'record', name, bytes }
}

/** What state names, and the files of the workspaces that it names. */
async function neededBlobs(state: State, blobs: Pick<Blobs, 'get'>): Promise<ReadonlySet<string>> {
  const needed = namedBlobs(state)
  const manifests = letterManifests(state)
  for (const { spec } of state.runs.values())
    if (spec.workspace.type === 'travel') manifests.add(spec.workspace.manifest)
  for (const manifest of manifests) for (const key of (await workspaceBlobs(blobs, manifest)) ?? []) needed.add(key)
  return needed
}

/**
 * The part as it stands in a log whose contexts have other names than where it came from: where they are
 * kept decides how the log names them.
 */
export function withContexts<P extends Part>(part: P, names: ReadonlyMap<string, string>): P {
  if (names.size === 0) return part
  const rename = <S extends { readonly context: string }>(spec: S): S => ({
    ...spec,
    context: names.get(spec.context) ?? spec.context,
  })
  if (part.part === 'entry') {
    const body = decodeEntry(part.bytes)
    if (!body.events.some((event) => event.type === 'run.submitted' && names.has(event.spec.context))) return part
    const events = body.events.map((event) =>
      event.type === 'run.submitted' ? { ...event, spec: rename(event.spec) } : event,
    )
    return { ...part, bytes: encodeEntry({ ...body, events }) }
  }
  if (part.part !== 'snapshot') return part
  const data = JSON.parse(zstdDecompressSync(part.bytes).toString('utf8')) as SnapshotData
  const { letters } = data
  const renamed: SnapshotData = {
    ...data,
    runs: data.runs.map((run) => ({ ...run, spec: rename(run.spec) })),
    ...(letters && {
      letters: { ...letters, sources: letters.sources.map(([run, one]) => [run, { ...one, spec: rename(one.spec) }]) },
    }),
  }
  return { ...part, bytes: zstdCompressSync(JSON.stringify(renamed)) }
}

/** Follows the parts of an archive as they are read. */
export class ArchiveFold {
  readonly #name: string
  #position = 0
  state: State = emptyState(defaultLimits)

  /** `name`: of the archive, for messages. */
  constructor(name: string) {
    this.#name = name
  }

  take(part: Part): void {
    try {
      if (part.part === 'snapshot') {
        const data = JSON.parse(zstdDecompressSync(part.bytes).toString('utf8')) as SnapshotData
        this.#refuseNewer(data.version)
        this.state = restore(data, defaultLimits)
        this.#position = part.position
      } else if (part.part === 'entry' && part.position > this.#position) {
        const { atMs, events } = decodeEntry(part.bytes)
        for (const event of events) {
          if (event.type === 'format.raised') this.#refuseNewer(event.format)
          apply(this.state, event, atMs)
        }
        this.#position = part.position
      }
    } catch (error) {
      const { code, message } = error as Error & { code?: string }
      if (code === 'archive_invalid') throw error
      const what = part.part === 'snapshot' ? 'the snapshot' : `entry ${this.#position + 1}`
      throw invalid(this.#name, `${what} cannot be applied: ${message}`)
    }
  }

  #refuseNewer(format: number): void {
    if (format <= readableFormat) return
    const problem = `its log is of format ${format}, and this Muster reads up to ${readableFormat}`
    throw invalid(this.#name, problem, 'Use the version of Muster that wrote it, or a newer one.')
  }
}
