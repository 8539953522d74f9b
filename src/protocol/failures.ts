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
