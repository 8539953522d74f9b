/**
 * The HTTP and WebSocket face of a coordinator: a thin translation to inputs and views. The same
 * routes serve the Unix socket and TCP; only the access differs. Errors are problem details (RFC 9457).
 */
import websocket from '@fastify/websocket'
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import Value from 'typebox/value'
import { goodUserToken } from '../core/user-tokens.ts'
import { guard } from './access.ts'
import type { ApiOptions } from './options.ts'
import { isMusterError } from '../protocol/errors.ts'
import { makeProblem, problemOf } from './problems.ts'
import { archiveRoutes } from './routes-archive.ts'
import { blobRoutes } from './routes-blobs.ts'
import { breakerRoutes } from './routes-breakers.ts'
import { failureRoutes } from './routes-failures.ts'
import { clusterRoutes } from './routes-cluster.ts'
import { feedRoutes } from './routes-feed.ts'
import { limitRequests } from './room.ts'
import { recoveryRoutes } from './routes-recovery.ts'
import { historyRoutes } from './routes-history.ts'
import { runRoutes } from './routes-runs.ts'
import { healthRoutes } from './routes-health.ts'
import { schedulerRoutes } from './routes-scheduler.ts'
import { shareRoutes } from './routes-shares.ts'
import { systemRoutes } from './routes-system.ts'
import { tokenRoutes } from './routes-tokens.ts'
import { taskRoutes } from './routes-tasks.ts'
import { whyRoutes } from './routes-why.ts'
import { faultWords } from './schema-fault.ts'

const bodyBytesMax = 128 * 1024 * 1024
/** A coordinator passes on to another what it may be sent itself, as a string in JSON: up to twice as long. */
const frameBytesMax = 2 * bodyBytesMax

export async function createApi(options: ApiOptions): Promise<FastifyInstance> {
  const app = Fastify({ bodyLimit: bodyBytesMax, forceCloseConnections: true, routerOptions: { maxParamLength: 512 } })
  app.setValidatorCompiler(({ schema, httpPart }) => {
    const typed = schema as TSchema
    const check = Compile(typed)
    return (input: unknown) => {
      const value: unknown = httpPart === 'body' ? input : Value.Convert(typed, input)
      if (check.Check(value)) return { value }
      return { error: new Error(faultWords(check.Errors(value), httpPart ?? 'request')) }
    }
  })
  app.setErrorHandler((error: FastifyError, request, reply) => {
    endRefusedUpgrade(request, reply)
    const problem = problemOf(error)
    if (problem.code === 'internal') {
      const { method, routeOptions } = request
      options.say('error', 'a request failed', { method, route: routeOptions.url, error: error.stack ?? error.message })
    }
    const retryAfterMs = isMusterError(error) ? error.retryAfterMs : undefined
    if (retryAfterMs !== undefined || [429, 503, 507].includes(problem.status)) {
      reply.header('Retry-After', Math.max(1, Math.ceil((retryAfterMs ?? 1000) / 1000)))
    }
    return reply.status(problem.status).type('application/problem+json').send(problem)
  })
  app.setNotFoundHandler((request, reply) => {
    endRefusedUpgrade(request, reply)
    const problem = makeProblem('not_found', `there is no ${request.method} ${request.url.split('?')[0]}`)
    return reply.status(404).type('application/problem+json').send(problem)
  })
  // Every answer says which log position it reflects, and none reflects what isn't durable.
  app.addHook('onSend', (_request, reply, payload, done) => {
    reply.header('Muster-Position', options.coordinator.position)
    done(null, payload)
  })
  // Who has seen a later state than this coordinator holds waits until it holds it too.
  app.addHook('preHandler', (request, _reply, done) => {
    const position = request.headers['muster-position']
    if (typeof position !== 'string' || !/^\d+$/.test(position)) return done()
    void reach(Number(position), done)
  })
  const reach = async (position: number, done: (error?: Error) => void): Promise<void> => {
    let failure: Error | undefined
    try {
      await options.coordinator.settled(position)
    } catch (error) {
      failure = error as Error
    }
    done(failure)
  }
  const { onRequest } = options
  if (onRequest) {
    app.addHook('onRequest', (_request, _reply, done) => {
      onRequest()
      done()
    })
  }
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.is404 ? undefined : request.routeOptions.url
    const { method } = request
    options.metrics.answered({ route, method, status: reply.statusCode, seconds: reply.elapsedTime / 1000 })
    done()
  })
  const { coordinator } = options
  guard(app, options.access, {
    find: (id, nowMs) => goodUserToken(coordinator.state, id, nowMs),
    settled: () => coordinator.settled(),
  })
  limitRequests(app, options.coordinator.overloadLimits)
  await app.register(websocket, { options: { maxPayload: frameBytesMax } })
  await app.register(
    async (api) => {
      await api.register(runRoutes, options)
      await api.register(taskRoutes, options)
      await api.register(whyRoutes, options)
      await api.register(blobRoutes, options)
      await api.register(historyRoutes, options)
      await api.register(feedRoutes, options)
      await api.register(failureRoutes, options)
      await api.register(breakerRoutes, options)
      await api.register(recoveryRoutes, options)
      await api.register(schedulerRoutes, options)
      await api.register(shareRoutes, options)
      await api.register(systemRoutes, options)
      await api.register(tokenRoutes, options)
      await api.register(archiveRoutes, options)
      await api.register(clusterRoutes, options)
      await api.register(healthRoutes, options)
    },
    { prefix: '/api/v1' },
  )
  // Where monitoring looks by habit.
  await app.register(healthRoutes, options)
  return app
}

/** An upgrade that got an answer instead of a WebSocket leaves a socket that nobody else would close. */
function endRefusedUpgrade(request: FastifyRequest, reply: FastifyReply): void {
  if (request.headers.upgrade === undefined) return
  reply.header('Connection', 'close')
  reply.raw.once('finish', () => request.raw.socket.destroySoon())
}
