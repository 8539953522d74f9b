/**
 * What `ws` alone does for as many workers: takes their connections, welcomes each, answers every
 * heartbeat. Prints its port, ends with its standard input.
 */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import type { WorkerMessage } from '../../src/protocol/worker-messages.ts'

const server = http.createServer()
const lines = new WebSocketServer({ server })
const welcome = { type: 'welcome', epoch: 1, heartbeatMs: 1000, leaseMs: 10_000, fenceMs: 6000, keep: [] }
lines.on('connection', (socket) => {
  socket.on('message', (data: Buffer) => {
    const message = JSON.parse(data.toString('utf8')) as WorkerMessage
    if (message.type === 'hello') socket.send(JSON.stringify(welcome))
    if (message.type === 'heartbeat') socket.send(JSON.stringify({ type: 'beat', n: message.n }))
  })
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`))
process.stdin.on('end', () => process.exit(0)).resume()
