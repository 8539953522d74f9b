/**
 * Reads whose answers are kept as text while they are right: the same question again costs a look-up.
 * The question is the whole path with its query. Spread what `keptRead` returns into a route's options.
 */
import type { FastifyReply, FastifyRequest, HookHandlerDoneFunction, RouteGenericInterface } from 'fastify'
import type { Coordinator } from '../coordinator/coordinator.ts'
import type { Answer, Shows } from '../coordinator/kept-answers.ts'

export type KeptRead<Route extends RouteGenericInterface> = {
  readonly onRequest: (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void
  readonly handler: (request: FastifyRequest<Route>, reply: FastifyReply) => Promise<FastifyReply>
}

/** `read` is called when state is settled. */
export function keptRead<Route extends RouteGenericInterface>(
  coordinator: Coordinator,
  read: (request: FastifyRequest<Route>) => Shows & { readonly value: unknown },
): KeptRead<Route> {
  const { answers } = coordinator
  return {
    // After those of the whole API, so after whoever asks was let in; before the query is looked at.
    onRequest(request, reply, done) {
      // Who has seen a later state may have to wait for it.
      const known = request.raw.headers['muster-position'] === undefined ? answers.find(request.raw.url!) : undefined
      if (known === undefined) done()
      else send(reply, known)
    },
    async handler(request, reply) {
      await coordinator.settled()
      // Who waited for the same moment may have asked the same.
      const known = answers.find(request.url)
      if (known) return send(reply, known)
      const { value, ...shows } = read(request)
      return send(reply, answers.keep(request.url, value, shows))
    },
  }

  /** Straight to the connection: nothing is left to serialise, and the way through Fastify costs as much as all the rest. */
  function send(reply: FastifyReply, { text, bytes, version }: Answer): FastifyReply {
    reply.hijack()
    const headers = {
      'content-type': 'application/json; charset=utf-8',
      'content-length': bytes,
      'muster-position': coordinator.position,
    }
    reply.raw.writeHead(200, version === undefined ? headers : { ...headers, etag: `"${version}"` })
    // Text of ASCII alone, the usual, is written as it lies in memory.
    reply.raw.end(text, bytes === text.length ? 'latin1' : 'utf8')
    return reply
  }
}
