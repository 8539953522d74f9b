/** The WebSockets of a coordinator, with partners that say what they shouldn't, or much. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { WebSocket } from 'ws'
import { Coordinator } from '../coordinator/coordinator.ts'
import { workerProtocolVersion } from '../protocol/worker-protocol-version.ts'
import { Metrics } from '../telemetry/metrics.ts'
import { createApi } from './server.ts'

let directory: string
let coordinator: Coordinator
let app: FastifyInstance
let address: string

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'muster-feed-'))
  coordinator = await Coordinator.open({ directory, version: '0', log: 'memory', history: false })
  const nothing = () => undefined
  const common = { metrics: new Metrics(), say: nothing, build: '', onShutdown: nothing }
  app = await createApi({ ...common, coordinator, access: { type: 'socket' } })
  await app.listen({ host: '127.0.0.1', port: 0 })
  address = `ws://127.0.0.1:${(app.server.address() as AddressInfo).port}/api/v1`
})

after(async () => {
  await app.close()
  await coordinator.close()
  await rm(directory, { recursive: true, force: true })
})

async function closing(path: string, text?: string): Promise<{ code: number; reason: string }> {
  const socket = new WebSocket(`${address}${path}`, { maxPayload: 256 * 1024 * 1024 })
  await once(socket, 'open')
  if (text !== undefined) socket.send(text)
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
  return { code, reason: reason.toString('utf8') }
}

test('a worker whose hello is wrong in a place with a long name is told so', async () => {
  const capabilities = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 1, host: 'h', tools: {} }
  const { code, reason } = await closing(
    '/worker',
    JSON.stringify({
      type: 'hello',
      protocol: workerProtocolVersion,
      worker: 'w',
      name: 'w',
      version: '0',
      held: [],
      draining: false,
      capabilities: { ...capabilities, labels: { ['ä'.repeat(200)]: 1 } },
    }),
  )
  assert.equal(code, 4400)
  assert.match(reason, /^hello: \/capabilities\/labels/)
})

test('who wants to watch a run that does not exist is told so, whatever the name', async () => {
  assert.deepEqual(await closing('/feed?run=r1'), { code: 4404, reason: 'no run r1' })
  const { code, reason } = await closing(`/feed?run=${'x'.repeat(300)}`)
  assert.equal(code, 4404)
  assert.match(reason, /^no run xxx/)
})

test('a peer that does not speak JSON is hung up on', async () => {
  assert.equal((await closing('/peer', 'hello?')).code, 4400)
})

test('what a follower passes on may be larger than what a worker or client may send', async () => {
  const follow = { type: 'frame', connection: 1, text: '"'.repeat(60 * 1024 * 1024) }
  // Not the first message that is expected; but it is read.
  assert.notEqual((await closing('/peer', JSON.stringify(follow))).code, 1009)
  assert.equal((await closing('/worker', ' '.repeat(65 * 1024 * 1024))).code, 1009)
})
