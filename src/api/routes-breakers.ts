/** Circuit breakers: look, reset, open. */
import type { FastifyInstance } from 'fastify'
import { breakerViews } from '../coordinator/breaker-views.ts'
import { MusterError } from '../protocol/errors.ts'
import { BreakersQuery, OpenBody, ResetBody } from '../protocol/failures.ts'
import type { ApiOptions } from './options.ts'
import { whoOf } from './request-parts.ts'

export async function breakerRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  app.get<{ Querystring: { all?: boolean } }>(
    '/breakers',
    { schema: { querystring: BreakersQuery } },
    async (request) => {
      await coordinator.settled()
      return { breakers: breakerViews(coordinator.state, Date.now(), request.query.all ?? false) }
    },
  )

  app.post<{ Body: ResetBody }>('/breakers/reset', { schema: { body: ResetBody } }, async (request) => {
    const { scopes, all, why } = request.body
    if ((scopes === undefined) === (all === undefined)) {
      throw new MusterError('request_invalid', 'expected one of scopes and all')
    }
    await coordinator.settled()
    const before = [...coordinator.state.breakers.notClosed]
    const who = whoOf(request)
    await coordinator.submit({
      type: 'reset-breakers',
      ...(scopes === undefined ? {} : { scopes }),
      who,
      why: why ?? 'asked',
    })
    return { breakers: viewsOf(scopes ?? before) }
  })

  app.post<{ Body: OpenBody }>('/breakers/open', { schema: { body: OpenBody } }, async (request) => {
    const { scope, why } = request.body
    await coordinator.submit({ type: 'open-breaker', scope, who: whoOf(request), why })
    return { breakers: viewsOf([scope]) }
  })

  function viewsOf(scopes: readonly string[]) {
    return breakerViews(coordinator.state, Date.now(), true).filter((view) => scopes.includes(view.scope))
  }
}
