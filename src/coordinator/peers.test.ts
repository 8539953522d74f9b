/** A link whose other end takes nothing, and what is sent together. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { PeerMessage } from '../protocol/peer-messages.ts'
import { linkOf, messagesOf } from './peers.ts'

class SlowSocket {
  readonly readyState = WebSocket.OPEN
  bufferedAmount = 0
  readonly frames: PeerMessage[][] = []
  send(text: string): void {
    this.bufferedAmount += text.length
    this.frames.push(messagesOf(Buffer.from(text))!)
  }
  close(): void {
    this.frames.push([])
  }
}

const types = (frames: readonly PeerMessage[][]) => frames.map((frame) => frame.map((message) => message.type))

test('a heartbeat does not wait behind live messages that a slow link cannot take', async () => {
  const socket = new SlowSocket()
  const link = linkOf(socket as never)
  const output = 'x'.repeat(300_000)
  for (let n = 0; n < 100; n += 1) {
    link.send({ type: 'live', run: 'r1', worker: 'w', message: { type: 'live', batch: 'b', tests: [], output } })
  }
  link.send({ type: 'alive', position: 1 })
  await turn()
  assert.equal(socket.frames.at(-1)?.at(-1)?.type, 'alive')
  assert.ok(socket.bufferedAmount < 2_000_000, `${socket.bufferedAmount} bytes wait`)
})

test('the first message of a turn goes at once, the rest of the turn together, all in their order', async () => {
  const socket = new SlowSocket()
  const link = linkOf(socket as never)
  link.send({ type: 'alive', position: 1 })
  assert.deepEqual(types(socket.frames), [['alive']])
  for (let connection = 0; connection < 3; connection += 1) link.send({ type: 'frame', connection, text: 'a\nb' })
  assert.equal(socket.frames.length, 1)
  await turn()
  assert.deepEqual(types(socket.frames), [['alive'], ['frame', 'frame', 'frame']])
  assert.deepEqual(socket.frames[1]![2], { type: 'frame', connection: 2, text: 'a\nb' })
  // Who closes has said everything before.
  link.send({ type: 'unsure' })
  link.send({ type: 'not-leading', epoch: 1, owner: '' })
  link.close()
  assert.deepEqual(types(socket.frames).slice(2), [['unsure'], ['not-leading'], []])
  await turn()
  assert.equal(socket.frames.length, 5)
})

test("workers' heartbeats wait for each other, and not behind anything else", async ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  const socket = new SlowSocket()
  const link = linkOf(socket as never)
  const heartbeat = (connection: number): PeerMessage => ({ type: 'frame', connection, text: '{"type":"heartbeat"}' })
  for (let connection = 0; connection < 3; connection += 1) link.send(heartbeat(connection))
  await turn()
  assert.equal(socket.frames.length, 0)
  mock.timers.tick(20)
  assert.deepEqual(types(socket.frames), [['frame', 'frame', 'frame']])
  await turn()
  link.send(heartbeat(3))
  link.send({ type: 'frame', connection: 3, text: '{"type":"ended"}' })
  assert.deepEqual(types(socket.frames).slice(1), [['frame', 'frame']])
})

test('a frame that is no JSON is no message', () => {
  assert.equal(messagesOf(Buffer.from('{"type":"alive"}\nhello')), undefined)
})
