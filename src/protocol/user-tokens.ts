/** Client tokens of single users: what the API shows of them, and what it takes. */
import Type from 'typebox'

/** The last moment that dates know. */
const momentMax = 8_640_000_000_000_000

const strict = { additionalProperties: false }

export const MakeUserTokenBody = Type.Object(
  {
    user: Type.String(),
    /** It may submit for other users, too. */
    onBehalf: Type.Optional(Type.Boolean()),
    /** Milliseconds since the epoch; absent = until it is taken back. */
    untilMs: Type.Optional(Type.Integer({ minimum: 0, maximum: momentMax })),
  },
  strict,
)
export type MakeUserTokenBody = Type.Static<typeof MakeUserTokenBody>

/** Ids, whole tokens, or names of users: all that these have. */
export const RevokeUserTokensBody = Type.Object(
  { tokens: Type.Array(Type.String({ minLength: 1, maxLength: 1000 }), { minItems: 1, maxItems: 10_000 }) },
  strict,
)
export type RevokeUserTokensBody = Type.Static<typeof RevokeUserTokensBody>

export type UserTokenView = {
  /** The first part of it; opens nothing. */
  readonly token: string
  readonly user: string
  readonly onBehalf: boolean
  readonly madeAtMs: number
  readonly madeBy: string
  /** Null = until it is taken back. */
  readonly untilMs: number | null
}

export type UserTokensView = { readonly tokens: readonly UserTokenView[] }

/** `secret`: the token itself. It is shown once, and kept nowhere. */
export type MadeUserToken = UserTokenView & { readonly secret: string }
