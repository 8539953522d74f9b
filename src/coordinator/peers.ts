/**
 * Links between coordinators over WebSockets, each end with the cluster's own token. A frame holds one
 * or more messages as JSON lines: the first that comes up in a turn of the event loop is sent at once, since a
 * coordinator's heartbeat that waits for company is late; the rest of the turn follow together, since a
 * thousand workers may say something in it. Workers' heartbeats, which are many and far from urgent, wait a moment
 * for each other.
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
/** Of what is sent together. */
const turnLengthMax = 256 * 1024
const patienceMs = 20

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
        const messages = messagesOf(data)
        // Whoever answers at this address is no coordinator; its end of the line tells the rest.
        if (!messages) return socket.terminate()
        for (const message of messages) handlers.message(message)
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

/** What a frame holds; undefined when that is no JSON. */
export function messagesOf(data: Buffer): PeerMessage[] | undefined {
  try {
    return data
      .toString('utf8')
      .split('\n')
      .map((line) => JSON.parse(line) as PeerMessage)
  } catch {
    return undefined
  }
}

export function linkOf(socket: Socket): PeerLink {
  let lines: string[] = []
  let linesLength = 0
  let inTurn = false
  let patience: NodeJS.Timeout | undefined
  const flush = (): void => {
    clearTimeout(patience)
    patience = undefined
    if (lines.length > 0 && socket.readyState === WebSocket.OPEN) socket.send(lines.join('\n'))
    lines = []
    linesLength = 0
  }
  const endTurn = (): void => {
    inTurn = false
    flush()
  }
  return {
    send(message) {
      if (socket.readyState !== WebSocket.OPEN) return
      const waiting = socket.bufferedAmount + linesLength
      if (waiting > bufferedBytesMax) return socket.terminate()
      if (message.type === 'live' && waiting > liveBytesMax) return
      const line = JSON.stringify(message)
      lines.push(line)
      linesLength += line.length
      if (linesLength > turnLengthMax) return flush()
      if (inTurn) return
      if (canWait(message)) {
        patience ??= setTimeout(flush, patienceMs)
        return
      }
      inTurn = true
      setImmediate(endTurn)
      flush()
    },
    // What was sent before still arrives, if the other end takes it soon.
    close() {
      if (socket.readyState === WebSocket.CONNECTING) return socket.terminate()
      flush()
      socket.close()
      setTimeout(() => socket.terminate(), dialTimeoutMs).unref()
    },
  }
}

function canWait(message: PeerMessage): boolean {
  return message.type === 'frame' && message.text.startsWith('{"type":"heartbeat"')
}
