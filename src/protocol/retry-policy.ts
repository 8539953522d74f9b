/** The retry policy of a run as it is sent: per cause, only what differs from the default. */
import Type from 'typebox'
import { retryPlaces } from './retry-causes.ts'

const strict = { additionalProperties: false }

const dayMs = 86_400_000

export const RetryRule = Type.Object(
  {
    /** Further attempts for this cause. */
    max: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
    /** Wait before the first further attempt; each one after it waits `backoffFactor` times as long. */
    backoffMs: Type.Optional(Type.Integer({ minimum: 0, maximum: dayMs })),
    backoffFactor: Type.Optional(Type.Number({ minimum: 1, maximum: 100 })),
    backoffMaxMs: Type.Optional(Type.Integer({ minimum: 0, maximum: dayMs })),
    /** The part of each wait that is left to chance. */
    jitter: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    where: Type.Optional(Type.Enum(retryPlaces)),
  },
  strict,
)
export type RetryRule = Type.Static<typeof RetryRule>

export const RetryPolicy = Type.Object(
  {
    failed: Type.Optional(RetryRule),
    'timed-out': Type.Optional(RetryRule),
    lost: Type.Optional(RetryRule),
    crashed: Type.Optional(RetryRule),
    infrastructure: Type.Optional(RetryRule),
  },
  strict,
)
export type RetryPolicy = Type.Static<typeof RetryPolicy>
