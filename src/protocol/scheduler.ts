/** What the API shows of schedulers, and what it takes. */
import Type from 'typebox'

const strict = { additionalProperties: false }

/** `strategy` null: as for all others again, or the default. */
export const ChooseSchedulerBody = Type.Object(
  {
    strategy: Type.Union([Type.String({ minLength: 1, maxLength: 64 }), Type.Null()]),
    project: Type.Optional(Type.String({ minLength: 1, maxLength: 1000 })),
    config: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  strict,
)
export type ChooseSchedulerBody = Type.Static<typeof ChooseSchedulerBody>

export type SchedulerFaultView = {
  /** threw, hung, nonsense or refused. */
  readonly kind: string
  readonly why: string
  readonly atMs: number
}

export type SchedulerView = {
  readonly name: string
  readonly description: string
  /** Absent: it came with Muster. */
  readonly plugin?: { readonly name: string; readonly version?: string; readonly file: string }
  readonly configSchema?: Readonly<Record<string, unknown>>
  /** It is used where nothing else is chosen. */
  readonly default: boolean
  /** The default places instead until somebody chooses it again. */
  readonly suspended: boolean
  /** Within the time that counts. */
  readonly faults: readonly SchedulerFaultView[]
  /** Since the coordinator that answers began. */
  readonly stats: {
    /** Times it was asked for placements. */
    readonly rounds: number
    readonly placements: number
    readonly refused: number
    readonly faults: number
    readonly meanMs: number
    readonly longestMs: number
  }
  /** What it says of itself, by name; absent: nothing, or it places nothing. */
  readonly metrics?: Readonly<Record<string, number>>
  /** Why it could not say so. */
  readonly metricsProblem?: string
}

export type SchedulerChoiceView = {
  /** Absent: for all projects without a choice of their own. */
  readonly project?: string
  /** What was chosen; absent: nothing was. */
  readonly chosen?: string
  readonly config?: Readonly<Record<string, unknown>>
  /** What places. */
  readonly inEffect: string
  /** Why that is not what was chosen. */
  readonly why?: string
}

export type SchedulersView = {
  /** Which coordinator answers: the one that leads. */
  readonly coordinator: string
  readonly schedulers: readonly SchedulerView[]
  /** The first is that for all. */
  readonly choices: readonly SchedulerChoiceView[]
}
