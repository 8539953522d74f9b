/** A link whose other end takes nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { linkOf } from './peers.ts'

test('a heartbeat does not wait behind live messages that a slow link cannot take', () => {
  let bufferedAmount = 0
  const sent: string[] = []
  const socket = {
    readyState: WebSocket.OPEN,
    get bufferedAmount() {
      return bufferedAmount
    },
    send(text: string) {
      bufferedAmount += text.length
      sent.push((JSON.parse(text) as { type: string }).type)
    },
  }
  const link = linkOf(socket as never)
  const output = 'x'.repeat(300_000)
  for (let n = 0; n < 100; n += 1) {
    link.send({ type: 'live', run: 'r1', worker: 'w', message: { type: 'live', batch: 'b', tests: [], output } })
  }
  link.send({ type: 'alive', position: 1 })
  assert.equal(sent.at(-1), 'alive')
  assert.ok(bufferedAmount < 2_000_000, `${bufferedAmount} bytes wait`)
})
