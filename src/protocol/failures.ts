/** What the API shows of dead letters, and what it takes. */
import Type from 'typebox'

const strict = { additionalProperties: false }
const Ids = Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { minItems: 1, maxItems: 10_000 })

/** Which letters: exactly one of the three. `run` and `all` leave out those that were replayed, unless `again`. */
const Selection = {
  letters: Type.Optional(Ids),
  run: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  all: Type.Optional(Type.Literal(true)),
}
export const ReplayBody = Type.Object({ ...Selection, again: Type.Optional(Type.Boolean()) }, strict)
export type ReplayBody = Type.Static<typeof ReplayBody>
export const DiscardBody = Type.Object(
  { ...Selection, why: Type.Optional(Type.String({ minLength: 1, maxLength: 1000 })) },
  strict,
)
export type DiscardBody = Type.Static<typeof DiscardBody>

export const LettersQuery = Type.Object({
  cursor: Type.Optional(Type.String()),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
  run: Type.Optional(Type.String()),
  project: Type.Optional(Type.String()),
  suite: Type.Optional(Type.String()),
  cause: Type.Optional(Type.String()),
  state: Type.Optional(Type.Union([Type.Literal('waiting'), Type.Literal('replayed')])),
})
export type LettersQuery = Type.Static<typeof LettersQuery>

export type DeadLetterView = {
  readonly letter: string
  readonly state: 'waiting' | 'replayed'
  readonly run: string
  /** `RUN/INDEX`. */
  readonly task: string
  readonly file: string
  readonly suite: string
  readonly project: string
  readonly framework: string
  /** lost, fenced, crashed, failed-to-start, unreported, timed-out, no-worker or breaker. */
  readonly cause: string
  readonly why: string
  readonly atMs: number
  readonly attemptsMade: number
  /** The newest ones that came to nothing, oldest first. */
  readonly attempts: readonly {
    readonly batch: string
    readonly worker: string
    readonly host?: string
    readonly reason: string
    readonly exitCode: number | null
    readonly signal: string | null
    readonly message?: string
    /** Blob with what the batch printed (zstd). */
    readonly output?: string
    readonly atMs: number
  }[]
  /** Replays of this file that came to nothing before. */
  readonly replays: number
  /** The newest replay; `outcome` once it has ended. */
  readonly replay?: { readonly run: string; readonly who: string; readonly outcome?: string }
}

export type LettersPage = {
  readonly letters: readonly DeadLetterView[]
  /** Send it as `cursor` for the rest. */
  readonly next?: string
  /** How many there are, whatever the filter. */
  readonly total: number
  /** Dropped so far for want of room or for their age. */
  readonly dropped: number
}

export type ReplayResult = { readonly letters: readonly string[] } & (
  | { readonly ok: true; readonly run: string }
  | { readonly ok: false; readonly code: string; readonly detail: string; readonly hint?: string }
)

const Scope = Type.String({ minLength: 1, maxLength: 1400 })
export const BreakersQuery = Type.Object({ all: Type.Optional(Type.Boolean()) })
/** Either of the two. */
export const ResetBody = Type.Object(
  {
    scopes: Type.Optional(Type.Array(Scope, { minItems: 1, maxItems: 1000 })),
    all: Type.Optional(Type.Literal(true)),
    why: Type.Optional(Type.String({ minLength: 1, maxLength: 1000 })),
  },
  strict,
)
export type ResetBody = Type.Static<typeof ResetBody>
export const OpenBody = Type.Object({ scope: Scope, why: Type.String({ minLength: 1, maxLength: 1000 }) }, strict)
export type OpenBody = Type.Static<typeof OpenBody>

export type BreakerView = {
  /** `worker:ID`, `class:PROJECT/SUITE` or `integration:NAME`. */
  readonly scope: string
  readonly kind: 'worker' | 'class' | 'integration'
  readonly state: 'closed' | 'open' | 'half-open'
  /** Of the worker, while it is there. */
  readonly name?: string
  /** Outcomes within the window; workers: how many had failures. */
  readonly counts: { readonly ok: number; readonly failed: number; readonly workers: number }
  /** How often it has opened in a row. */
  readonly opens: number
  /** Batches that try whether it can close. */
  readonly probes: readonly string[]
  /** Its last move; absent when it never did. */
  readonly movedAtMs?: number
  readonly who?: string
  readonly why?: string
  /** End of its cool-down. */
  readonly untilMs?: number
  /** Somebody opened it; it stays so until it is reset. */
  readonly held: boolean
}
