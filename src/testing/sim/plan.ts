/**
 * What a simulation does, as plain data: how many machines, what clients ask and when, which faults
 * strike and when. Drawn from a seed by plan-generator.ts, but explicit, so that a failing one can be
 * written down, replayed and shrunk by leaving parts of it out. The seed still decides what is left to
 * chance: delays, who answers first, the outcomes of attempts.
 */
export type Profile = 'safety' | 'liveness' | 'harsh'
export const profiles: readonly Profile[] = ['safety', 'liveness', 'harsh']

/** What a task does when it is run. `-once`: at its first attempt only; then it passes. */
export type TaskKind =
  | 'pass'
  | 'slow'
  | 'fail'
  | 'flaky'
  | 'skip'
  /** The process dies in the middle of it. */
  | 'crash'
  | 'crash-once'
  /** It doesn't come to an end. */
  | 'hang'
  | 'hang-once'

export type Order = { readonly atMs: number; readonly client: number; readonly run: string } & (
  | {
      readonly type: 'submit'
      readonly tasks: readonly TaskKind[]
      readonly retries: number
      readonly maxFailures: number
      readonly open: boolean
      /** 0: as many as a worker has. */
      readonly cpus: number
      readonly backoffMs: number
      /** Its framework starts nowhere. */
      readonly broken: boolean
      /** Crashed and lost attempts are retried elsewhere, by a policy of its own. */
      readonly elsewhere: boolean
      /** What its tasks need and wait for, drawn from this number (see asks.ts); 0 = nothing. */
      readonly asks?: number
      /** It comes after this run has passed. */
      readonly after?: string
      /** Default: p. */
      readonly project?: string
    }
  | { readonly type: 'extend'; readonly tasks: readonly TaskKind[] }
  | { readonly type: 'seal' | 'pause' | 'resume' }
  | { readonly type: 'prioritise'; readonly priority: number }
  | { readonly type: 'cancel'; readonly drain: boolean }
  /** By an operator; `run` means nothing. */
  | { readonly type: 'drain'; readonly worker: number }
  /** Another scheduler; `run` means nothing. Absent: the default again, and all projects. */
  | { readonly type: 'choose'; readonly strategy?: string; readonly project?: string }
  /** A rest for the client: reads what it has asked for before, from any coordinator. */
  | { readonly type: 'read' }
)

type Lasting = { readonly atMs: number; readonly forMs: number }
/** `who`: a host: `c1`, `w2`, `log`; `*` stands for all. */
export type Fault = Lasting &
  (
    | {
        readonly type:
          /** The process dies at once and starts again. */
          | 'crash'
          /** It hands over, ends, and starts again. */
          | 'restart'
          /** Its host loses power: nobody is told. */
          | 'power-loss'
          | 'pause'
          /** Nothing in, nothing out. */
          | 'isolate'
          /** Restarts as the version before this one. */
          | 'older-binary'
          | 'worker-crash'
          | 'worker-pause'
          /** The worker's executor thread dies. */
          | 'executor-crash'
          /** No framework starts there. */
          | 'worker-broken'
        readonly who: string
      }
    /** One way only. */
    | { readonly type: 'cut'; readonly who: string; readonly to: string }
    | { readonly type: 'reset'; readonly who: string; readonly to: string }
    | { readonly type: 'delay'; readonly who: string; readonly extraMs: number }
    | { readonly type: 'clock-jump'; readonly who: string; readonly byMs: number }
    /** Of a coordinator's requests to the log; `share` of them. */
    | {
        readonly type: 'lost-request' | 'lost-reply' | 'duplicate' | 'lost-hint'
        readonly who: string
        readonly share: number
      }
    | { readonly type: 'late-effect'; readonly who: string; readonly share: number; readonly lateMs: number }
    /** Of the log itself. */
    | { readonly type: 'slow-disk'; readonly extraMs: number }
    | { readonly type: 'full-disk' | 'no-quorum' }
    /** The leader is asked to hand over, to `who`. */
    | { readonly type: 'transfer'; readonly who: string }
    /** A snapshot is wanted, and the log trimmed behind it. */
    | { readonly type: 'snapshot' }
  )

export type Plan = {
  readonly seed: number
  readonly profile: Profile
  readonly coordinators: number
  /** CPUs of each. */
  readonly workers: readonly number[]
  readonly clients: number
  /** Older binaries at first, by host. */
  readonly old: readonly string[]
  /** Coordinators that have no plugins, by host; absent: all have them. */
  readonly bare?: readonly string[]
  readonly orders: readonly Order[]
  readonly faults: readonly Fault[]
  /** Then everything is mended, but for what `remains` names, and progress is demanded. */
  readonly mendedAtMs: number
  /** Faults that are never mended: a minority the rest must do without. */
  readonly remains: readonly Fault[]
}
