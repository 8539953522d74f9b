/**
 * Reads whose answers are kept as text while they are right: the same question again costs a look-up.
 * The question is the whole path with its query.
 */
import type { FastifyReply, FastifyRequest, RouteGenericInterface } from 'fastify'
import type { Coordinator } from '../coordinator/coordinator.ts'
import type { Answer, Shows } from '../coordinator/kept-answers.ts'

/** `read` is called when state is settled. */
export function keptRead<Route extends RouteGenericInterface>(
  coordinator: Coordinator,
  read: (request: FastifyRequest<Route>) => Shows & { readonly value: unknown },
): (request: FastifyRequest<Route>, reply: FastifyReply) => undefined | Promise<FastifyReply> {
  const { answers } = coordinator
  return (request, reply) => {
    const known = answers.find(request.url)
    if (known === undefined) return readAnew(request, reply)
    send(reply, known)
    return undefined
  }

  async function readAnew(request: FastifyRequest<Route>, reply: FastifyReply): Promise<FastifyReply> {
    await coordinator.settled()
    // Who waited for the same moment may have asked the same.
    const known = answers.find(request.url)
    if (known) return send(reply, known)
    const { value, ...shows } = read(request)
    return send(reply, answers.keep(request.url, value, shows))
  }

  /** Straight to the connection: there is nothing left to serialise, and the way through Fastify costs as much as all the rest. */
  function send(reply: FastifyReply, { text, bytes, version }: Answer): FastifyReply {
    reply.hijack()
    const headers = {
      'content-type': 'application/json; charset=utf-8',
      'content-length': bytes,
      'muster-position': coordinator.position,
    }
    reply.raw.writeHead(200, version === undefined ? headers : { ...headers, etag: `"${version}"` }).end(text)
    return reply
  }
}
