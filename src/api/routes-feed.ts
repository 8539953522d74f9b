/**
 * The WebSockets: a run's feed for watchers, the workers' line, and the other coordinators'. Frames of the feed hold one or
 * more JSON lines: what came up in one turn of the event loop goes out together.
 */
import type { FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'
import { linkOf, messagesOf } from '../coordinator/peers.ts'
import type { FeedMessage } from '../protocol/run-view.ts'
import { goodUserToken } from '../core/user-tokens.ts'
import type { ApiOptions } from './options.ts'

/** Also the longest that a watcher goes on whose token was taken back. */
const pingEveryMs = 15_000
/** Of one frame, for all but the other coordinators: these wrap what somebody else has said. */
const frameBytesMax = 64 * 1024 * 1024
/** WebSockets take no longer ones. */
const reasonBytesMax = 123

export async function feedRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  app.get<{ Querystring: { run?: string } }>('/feed', { websocket: true }, (socket, request) => {
    const run = coordinator.state.runs.get(request.query.run ?? '')
    if (!run) {
      close(socket, 4404, `no run ${request.query.run ?? ''}`)
      return
    }
    let lines: string[] = []
    const flush = () => {
      if (lines.length === 0 || socket.readyState !== socket.OPEN) return
      socket.send(lines.join('\n'))
      lines = []
    }
    const stop = coordinator.feed.watch(run, {
      send(message: FeedMessage) {
        if (lines.length === 0) setImmediate(flush)
        lines.push(JSON.stringify(message))
      },
      get backlog() {
        return socket.bufferedAmount
      },
      close: (why) => close(socket, 4413, why),
    })
    const { userToken } = request.caller
    keepAlive(socket, async () => {
      if (userToken === undefined) return
      // A coordinator that reads the log anew has not come to it yet.
      await coordinator.settled()
      if (!goodUserToken(coordinator.state, userToken, Date.now()))
        close(socket, 4401, 'the token was taken back, or its time is over')
    })
    socket.on('close', stop)
    socket.on('error', () => socket.terminate())
  })

  app.get('/worker', { websocket: true, config: { allow: ['worker'] } }, (socket) => {
    const connection = coordinator.connectWorker({
      send: (text) => socket.send(text),
      close: (code, reason) => close(socket, code, reason),
    })
    socket.on('message', (data: Buffer) => {
      if (data.length > frameBytesMax) close(socket, 1009, `expected up to ${frameBytesMax} bytes in a message`)
      else connection.message(data.toString('utf8'))
    })
    socket.on('close', () => connection.closed())
    socket.on('error', () => socket.terminate())
  })

  app.get('/peer', { websocket: true, config: { allow: ['peer'] } }, (socket) => {
    const link = coordinator.seat.accept(linkOf(socket))
    socket.on('message', (data: Buffer) => {
      const messages = messagesOf(data)
      if (!messages) return close(socket, 4400, 'expected JSON')
      for (const message of messages) link.message(message)
    })
    socket.on('close', () => link.closed())
    socket.on('error', () => socket.terminate())
  })
}

function close(socket: WebSocket, code: number, reason: string): void {
  let end = Math.min(reason.length, reasonBytesMax)
  while (Buffer.byteLength(reason.slice(0, end)) > reasonBytesMax) end -= 1
  socket.close(code, reason.slice(0, end))
}

/** Finds watchers that are gone without a word, and asks whether those that are there may still be. */
function keepAlive(socket: WebSocket, checkAgain: () => Promise<void>): void {
  let heard = true
  const timer = setInterval(() => {
    if (!heard) return socket.terminate()
    heard = false
    socket.ping()
    // Who can't tell now is asked again the next time.
    checkAgain().catch(() => undefined)
  }, pingEveryMs)
  timer.unref()
  socket.on('pong', () => {
    heard = true
  })
  socket.on('close', () => clearInterval(timer))
}
