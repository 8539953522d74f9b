/**
 * Answers about runs as text, kept while they are right: who asks often costs little, and a leader
 * answers while an append is under way, since what is kept shows what is durable. An answer stands
 * until an entry concerns a run that it shows; one about runs that go on also until anything else in
 * state changes, and for a moment at most, because it tells of clocks, forecasts and connections too.
 */
import type { RunId } from '../core/entities.ts'
import type { Run } from '../core/state.ts'
import type { Clock } from '../stdx/clock.ts'
import type { Committed } from './leader.ts'

export type Answer = {
  /** JSON, as a Buffer when it is long: it need not be encoded again. */
  readonly text: string | Buffer
  readonly bytes: number
  /** Of the one run that it is about, for who wants to change just this version of it. */
  readonly version?: number
}

/** What an answer tells of. `lists`: also which runs there are. */
export type Shows = { readonly runs: readonly Run[]; readonly lists?: boolean; readonly version?: number }

type Kept = Answer & {
  readonly runs: readonly RunId[]
  /** Runs that come or go change it as well. */
  readonly lists: boolean
  /** It shows a run that goes on. */
  readonly live: boolean
  readonly position: number
  readonly madeMs: number
}

const liveMaxMs = 100
const bytesMax = 32 * 1024 * 1024
const answersMax = 2000
const bufferFromBytes = 64 * 1024

export class KeptAnswers {
  readonly #position: () => number
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #kept = new Map<string, Kept>()
  /** Position of the last entry that concerned each run; runs that none has concerned since the last reset are not in it. */
  readonly #changed = new Map<RunId, number>()
  /** … that concerned any run. */
  #anyChanged = 0
  #listChanged = 0
  #restChanged = 0
  #bytes = 0

  /** `position`: of the last durable entry in state. */
  constructor(position: () => number, clock: Pick<Clock, 'monotonicMs'>) {
    this.#position = position
    this.#clock = clock
  }

  committed({ position, events }: Committed): void {
    for (const event of events) {
      if (!('run' in event)) {
        this.#restChanged = position
        continue
      }
      this.#changed.set(event.run, position)
      this.#anyChanged = position
      if (event.type === 'run.submitted' || event.type === 'run.forgotten') this.#listChanged = position
      if (event.type === 'run.forgotten') this.#forget(event.run)
    }
  }

  #forget(run: RunId): void {
    this.#changed.delete(run)
    // Lists are void in any case.
    for (const [key, kept] of this.#kept) if (kept.lists || kept.runs.includes(run)) this.#drop(key, kept)
  }

  /** State was read anew as a whole. */
  reset(): void {
    this.#kept.clear()
    this.#changed.clear()
    this.#bytes = 0
  }

  /** The answer kept under this key, if it still shows what is durable. */
  find(key: string): Answer | undefined {
    const kept = this.#kept.get(key)
    if (kept === undefined || this.#stands(kept)) return kept
    this.#drop(key, kept)
    return undefined
  }

  #stands({ runs, lists, live, position, madeMs }: Kept): boolean {
    if (live && (this.#restChanged > position || this.#clock.monotonicMs() - madeMs > liveMaxMs)) return false
    if (this.#anyChanged <= position) return true
    if (lists && this.#listChanged > position) return false
    for (const run of runs) if ((this.#changed.get(run) ?? 0) > position) return false
    return true
  }

  /**
   * Keeps an answer made of `value` (JSON already, if it is text), and returns it. Only while state is
   * settled.
   */
  keep(key: string, value: unknown, { runs, lists = false, version }: Shows): Answer {
    const json = typeof value === 'string' ? value : JSON.stringify(value)
    const bytes = Buffer.byteLength(json)
    const text = bytes < bufferFromBytes ? json : Buffer.from(json)
    const kept: Kept = {
      text,
      bytes,
      ...(version === undefined ? {} : { version }),
      runs: runs.map((run) => run.id),
      lists,
      live: runs.some((run) => run.state !== 'finished'),
      position: this.#position(),
      madeMs: this.#clock.monotonicMs(),
    }
    const before = this.#kept.get(key)
    if (before) this.#drop(key, before)
    this.#kept.set(key, kept)
    this.#bytes += kept.bytes
    for (const [oldest, dropped] of this.#kept) {
      if (this.#bytes <= bytesMax && this.#kept.size <= answersMax) break
      this.#drop(oldest, dropped)
    }
    return kept
  }

  #drop(key: string, kept: Kept): void {
    this.#kept.delete(key)
    this.#bytes -= kept.bytes
  }
}
