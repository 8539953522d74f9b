/**
 * Keeps restart time and disk bounded: snapshots the state and trims the log behind it, forgets the
 * oldest finished runs, and collects blobs that nothing names any more. The log is never trimmed past
 * what history has applied.
 */
import { promisify } from 'node:util'
import { zstdCompress } from 'node:zlib'
import type { Blobs } from '../blobs/blobs.ts'
import { capture } from '../core/snapshot.ts'
import type { Event } from '../core/events.ts'
import type { State } from '../core/state.ts'
import type { Log } from '../log/log.ts'
import { isMusterError } from '../protocol/errors.ts'
import type { Contexts } from './contexts.ts'
import type { Committed, Leader } from './leader.ts'
import { workspaceBlobs } from './workspace-check.ts'

const compress = promisify(zstdCompress)

/** A snapshot is due after this much log, whichever comes first. */
const snapshotBytesMax = 16 * 1024 * 1024
const snapshotEntriesMax = 20_000
/** Workspace blobs nobody used for this long are dropped; results and output live as long as their run. */
const blobIdleMs = 7 * 24 * 3_600_000
/** Younger blobs may be named by an input that is still on its way. */
const blobGraceMs = 3_600_000
const collectEveryMs = 6 * 3_600_000

type RetentionOptions = {
  readonly log: Log
  readonly blobs: Blobs
  readonly contexts: Contexts
  readonly leader: Leader
  /** What history has applied; Infinity when there is none to wait for. */
  readonly historyPosition: () => number
  readonly say: (level: 'info' | 'warn', message: string, detail: Record<string, unknown>) => void
}

export class Retention {
  readonly #options: RetentionOptions
  /** Of the newest snapshot; 0 = none known, then nothing is trimmed. */
  #previousPosition = 0
  #bytes = 0
  #entries = 0
  #snapshotting: Promise<void> | undefined
  #collecting: Promise<void> | undefined
  #collectedAtMs = Date.now()
  #pruning = false

  /** `snapshotPosition`: of the snapshot that state was recovered from. */
  constructor(options: RetentionOptions, snapshotPosition: number) {
    this.#options = options
    this.#previousPosition = snapshotPosition
  }

  committed(entry: Committed): void {
    this.#bytes += entry.bytes.length
    this.#entries += 1
    for (const event of entry.events) {
      if (event.type === 'run.finished') this.#prune()
      else if (event.type === 'run.forgotten' || event.type.startsWith('dead-letter.')) this.#dropContext(event)
    }
  }

  /** Kept while state knows the run, or dead letters of it that may be replayed. */
  #dropContext(event: Event): void {
    if (!('run' in event)) return
    const { state } = this.#options.leader
    if (state.runs.has(event.run) || state.letters.sources.has(event.run)) return
    void this.#guard(this.#options.contexts.remove(event.run))
  }

  #prune(): void {
    if (this.#pruning) return
    this.#pruning = true
    void this.#guard(this.#options.leader.submit({ type: 'prune' })).finally(() => {
      this.#pruning = false
    })
  }

  /** Once a second. */
  tick(): void {
    if (!this.#snapshotting && (this.#bytes > snapshotBytesMax || this.#entries > snapshotEntriesMax)) {
      this.#snapshotting = this.#guard(this.snapshot()).finally(() => {
        this.#snapshotting = undefined
      })
    }
    if (!this.#collecting && Date.now() - this.#collectedAtMs > collectEveryMs) {
      this.#collectedAtMs = Date.now()
      this.#collecting = this.#guard(this.collect(Date.now())).finally(() => {
        this.#collecting = undefined
      })
    }
  }

  async snapshot(): Promise<void> {
    const { leader, log } = this.#options
    const { position, text } = await new Promise<{ position: number; text: string }>((resolve) => {
      leader.between(() => {
        this.#bytes = 0
        this.#entries = 0
        resolve({ position: leader.position, text: JSON.stringify(capture(leader.state)) })
      })
    })
    const bytes = await compress(Buffer.from(text))
    await log.putSnapshot(leader.epoch, { position, bytes })
    // Trimmed to the older of the two snapshots that are kept: should the newest not verify, the other
    // one must still join up with the log.
    await log.trim(Math.min(this.#previousPosition, this.#options.historyPosition()) + 1)
    this.#previousPosition = position
    this.#options.say('info', 'snapshot taken', { position, bytes: bytes.length })
  }

  async collect(nowMs: number): Promise<void> {
    const { blobs, leader } = this.#options
    const named = namedBlobs(leader.state)
    for (const manifest of letterManifests(leader.state)) {
      for (const key of (await workspaceBlobs(blobs, manifest)) ?? []) named.add(key)
    }
    let dropped = 0
    for await (const blob of blobs.list()) {
      const idleMs = nowMs - blob.usedAtMs
      if (idleMs < blobGraceMs || named.has(blob.key) || idleMs < blobIdleMs) continue
      await blobs.remove(blob.key)
      dropped += 1
    }
    if (dropped > 0) this.#options.say('info', 'dropped unused blobs', { dropped })
  }

  async #guard(work: Promise<unknown>): Promise<void> {
    try {
      await work
    } catch (error) {
      this.#options.say('warn', isMusterError(error) ? error.message : String(error), {})
    }
  }

  async stop(): Promise<void> {
    await this.#snapshotting
    await this.#collecting
  }
}

function namedBlobs(state: State): Set<string> {
  const named = new Set<string>()
  for (const run of state.runs.values()) {
    if (run.spec.workspace.type === 'travel') named.add(run.spec.workspace.manifest)
    for (const report of run.reports) if (report.results !== undefined) named.add(report.results)
    for (const output of run.outputs) named.add(output.blob)
  }
  for (const letter of state.letters.byId.values()) {
    for (const { output } of letter.attempts) if (output !== undefined) named.add(output)
  }
  for (const manifest of letterManifests(state)) named.add(manifest)
  return named
}

/** Workspaces that a replay would need whole, however long nobody has used them. */
function letterManifests(state: State): Set<string> {
  const manifests = new Set<string>()
  for (const { spec } of state.letters.sources.values()) {
    if (spec.workspace.type === 'travel') manifests.add(spec.workspace.manifest)
  }
  return manifests
}
