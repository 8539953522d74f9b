/**
 * Client tokens of single users: whose each is, what it may, until when, and the digest by which the shell knows it. A
 * token is good while it is in here, so that taking one back holds on every coordinator that follows the log, and after
 * any restart. Its secret is only in its user's hands; digests are made and compared by the shell.
 */
import type { Event, UserTokenMade, UserTokensRevoked } from './events.ts'
import { Refused, type MakeUserToken, type RevokeUserTokens } from './input.ts'
import type { State, UserToken } from './state.ts'

/** So many at once; those whose time is over don't count. */
export const userTokensMax = 10_000

/** The token while it is good: it was made, and neither taken back since nor is its time over. */
export function goodUserToken(state: State, id: string, nowMs: number): UserToken | undefined {
  const token = state.userTokens.get(id)
  return token && isOver(token, nowMs) ? undefined : token
}

function isOver({ untilMs }: UserToken, nowMs: number): boolean {
  return untilMs !== undefined && untilMs <= nowMs
}

export function stepMakeUserToken(state: State, input: MakeUserToken, nowMs: number): readonly Event[] {
  if (state.format < 3)
    throw new Refused('conflict', 'tokens of users can be made once all coordinators have been upgraded')
  const { type: _, ...made } = input
  if (state.userTokens.has(made.token)) throw new Refused('conflict', `there is a token ${made.token} already`)
  let good = 0
  for (const token of state.userTokens.values()) if (!isOver(token, nowMs)) good += 1
  if (good >= userTokensMax)
    throw new Refused('conflict', `there are ${good} tokens of users already; take back those that nobody needs`)
  return [{ type: 'user-token.made', ...made }]
}

/** Those that are gone already are no longer good either. */
export function stepRevokeUserTokens(state: State, { who, tokens }: RevokeUserTokens): readonly Event[] {
  const known = [...new Set(tokens)].filter((token) => state.userTokens.has(token))
  return known.length === 0 ? [] : [{ type: 'user-tokens.revoked', who, tokens: known }]
}

export function applyUserTokenMade(state: State, event: UserTokenMade, atMs: number): void {
  for (const [id, token] of state.userTokens) if (isOver(token, atMs)) state.userTokens.delete(id)
  const { token, digest, user, onBehalf, untilMs, who } = event
  state.userTokens.set(token, {
    digest,
    user,
    ...(onBehalf === undefined ? {} : { onBehalf }),
    ...(untilMs === undefined ? {} : { untilMs }),
    madeAtMs: atMs,
    madeBy: who,
  })
}

export function applyUserTokensRevoked(state: State, { tokens }: UserTokensRevoked): void {
  for (const token of tokens) state.userTokens.delete(token)
}
