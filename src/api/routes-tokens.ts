/**
 * Client tokens of single users: make, list, take back. Only over the Unix socket: who has a user's token must not be able
 * to make one of somebody else's. Any coordinator of a cluster can be asked.
 */
import type { FastifyInstance } from 'fastify'
import { Refused } from '../core/input.ts'
import type { State } from '../core/state.ts'
import { goodUserToken } from '../core/user-tokens.ts'
import { MusterError } from '../protocol/errors.ts'
import {
  MakeUserTokenBody,
  RevokeUserTokensBody,
  type MadeUserToken,
  type UserTokensView,
  type UserTokenView,
} from '../protocol/user-tokens.ts'
import type { ApiOptions } from './options.ts'
import { whoOf } from './request-parts.ts'
import { expectedTokenUserName, isTokenUserName, newUserToken, userTokenId } from './user-tokens.ts'

const config = { socketOnly: true }

export async function tokenRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  app.get('/tokens', { config }, async (): Promise<UserTokensView> => {
    await coordinator.settled()
    return { tokens: goodTokens(coordinator.state) }
  })

  app.post<{ Body: MakeUserTokenBody }>(
    '/tokens',
    { config, schema: { body: MakeUserTokenBody } },
    async (request, reply): Promise<MadeUserToken> => {
      const { user, onBehalf = false, untilMs } = request.body
      if (!isTokenUserName(user))
        throw new MusterError(
          'request_invalid',
          `Cannot make a token for ${JSON.stringify(user)}: expected ${expectedTokenUserName}`,
        )
      const { id, text, digest } = newUserToken()
      const who = whoOf(request)
      const may = { ...(onBehalf ? { onBehalf } : {}), ...(untilMs === undefined ? {} : { untilMs }) }
      await coordinator.submit({ type: 'make-user-token', who, token: id, digest, user, ...may })
      reply.status(201)
      const about = { user, onBehalf, madeAtMs: Date.now(), madeBy: who, untilMs: untilMs ?? null }
      return { token: id, ...about, secret: text }
    },
  )

  app.post<{ Body: RevokeUserTokensBody }>(
    '/tokens/revoke',
    { config, schema: { body: RevokeUserTokensBody } },
    async (request): Promise<UserTokensView> => {
      await coordinator.settled()
      const good = goodTokens(coordinator.state)
      const chosen = new Map<string, UserTokenView>()
      for (const asked of request.body.tokens) for (const token of chosenBy(good, asked)) chosen.set(token.token, token)
      await coordinator.submit({ type: 'revoke-user-tokens', who: whoOf(request), tokens: [...chosen.keys()] })
      return { tokens: [...chosen.values()] }
    },
  )
}

function goodTokens(state: State): UserTokenView[] {
  const views: UserTokenView[] = []
  for (const id of state.userTokens.keys()) {
    const token = goodUserToken(state, id, Date.now())
    if (!token) continue
    const { user, onBehalf = false, madeAtMs, madeBy, untilMs = null } = token
    views.push({ token: id, user, onBehalf, madeAtMs, madeBy, untilMs })
  }
  return views
}

/** Nothing is taken back unless all that was asked for is there: a slip of the pen must not look like success. */
function chosenBy(good: readonly UserTokenView[], asked: string): readonly UserTokenView[] {
  const id = userTokenId(asked)
  const found = good.filter((one) => (id === undefined ? one.user === asked : one.token === id))
  if (found.length > 0) return found
  throw new Refused('not_found', id === undefined ? unknownWords(asked) : `no token ${id}`)
}

/** Never the whole of what may be a secret: of a token with something else around it, or of one that all share. */
function unknownWords(asked: string): string {
  const begins = /m[cpuw]_(?=[\w-]{10})/.exec(asked)?.[0]
  if (begins === undefined) return `no token of a user ${JSON.stringify(asked)}`
  return `no token of a user, nor a user, is called like what begins with ${begins}; 'muster token list' shows those that there are`
}
