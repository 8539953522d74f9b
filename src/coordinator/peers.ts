/**
 * Links between coordinators over WebSockets, each end with the cluster's own token. Small frames are
 * sent at once: a heartbeat that waits for company is late.
 */
import type { WebSocket as Socket } from 'ws'
import { WebSocket } from 'ws'
import type { PeerMessage } from '../protocol/peer-messages.ts'
import type { PeerLink, PeerPort } from './ports.ts'

const dialTimeoutMs = 2000
/** A link that has taken so much and passed on nothing is no link; its workers and writes go another way. */
const bufferedBytesMax = 256 * 1024 * 1024
const frameBytesMax = 256 * 1024 * 1024
/** What nobody misses is dropped rather than queued behind this much: a heartbeat must not wait for it. */
const liveBytesMax = 1024 * 1024

export function peerPort(token: string): PeerPort {
  return {
    dial(address, handlers) {
      const url = new URL('/api/v1/peer', address)
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
      const socket = new WebSocket(url, {
        headers: { authorization: `Bearer ${token}` },
        perMessageDeflate: false,
        handshakeTimeout: dialTimeoutMs,
        maxPayload: frameBytesMax,
      })
      let refused = false
      let closed = false
      const close = (): void => {
        if (closed) return
        closed = true
        handlers.closed(refused)
      }
      socket.on('open', () => handlers.opened())
      socket.on('message', (data: Buffer) => {
        let message: PeerMessage
        try {
          message = JSON.parse(data.toString('utf8')) as PeerMessage
        } catch {
          // Whoever answers at this address is no coordinator; its end of the line tells the rest.
          return socket.terminate()
        }
        handlers.message(message)
      })
      socket.on('error', (error: NodeJS.ErrnoException) => {
        // The host answered, and nobody listens there.
        if (error.code === 'ECONNREFUSED') refused = true
      })
      socket.on('close', close)
      return linkOf(socket)
    },
  }
}

export function linkOf(socket: Socket): PeerLink {
  return {
    send(message) {
      if (socket.readyState !== WebSocket.OPEN) return
      if (socket.bufferedAmount > bufferedBytesMax) return socket.terminate()
      if (message.type === 'live' && socket.bufferedAmount > liveBytesMax) return
      socket.send(JSON.stringify(message))
    },
    // What was sent before still arrives, if the other end takes it soon.
    close() {
      if (socket.readyState === WebSocket.CONNECTING) return socket.terminate()
      socket.close()
      setTimeout(() => socket.terminate(), dialTimeoutMs).unref()
    },
  }
}
