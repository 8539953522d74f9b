/** An etcd that answers, and takes longer for it than an append is usually given. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import { isMusterError } from '../../protocol/errors.ts'
import { EtcdCluster } from '../fixtures/etcd-cluster.ts'
import { MemoryBlobs } from '../fixtures/etcd-medium.ts'
import { openEtcdLog } from './etcd-log.ts'

/** Passes on what the client says only after a while, in its order. */
class SlowProxy implements AsyncDisposable {
  delayMs = 0
  readonly #server: net.Server
  readonly #sockets = new Set<net.Socket>()

  constructor(port: number) {
    this.#server = net.createServer((client) => {
      const server = net.connect(port, '127.0.0.1')
      for (const socket of [client, server]) {
        this.#sockets.add(socket)
        socket.on('error', () => socket.destroy())
      }
      client.on('data', (chunk) => setTimeout(() => server.write(chunk), this.delayMs))
      server.on('data', (chunk) => client.write(chunk))
      client.on('close', () => server.destroy())
      server.on('close', () => client.destroy())
    })
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return `127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

async function repeatedly<T>(work: () => Promise<T>, withinMs: number): Promise<T> {
  const endMs = performance.now() + withinMs
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!isMusterError(error) || error.code !== 'log_failed' || performance.now() > endMs) throw error
    }
  }
}

test('an etcd that is slow all the time is claimed and written to; once it is quick again, so is the log', async () => {
  await using cluster = await EtcdCluster.start({ members: 1 })
  await using proxy = new SlowProxy(Number(cluster.endpoints[0]!.split(':').at(-1)))
  const address = { endpoints: [await proxy.listen()], tls: false, prefix: '/slow/' }
  await using log = await openEtcdLog({ address, blobs: new MemoryBlobs(), appendTimeoutMs: 50 })
  proxy.delayMs = 250
  const head = await repeatedly(() => log.claimFrom(0, 'me'), 10_000)
  assert.ok(head)
  const bytes = (n: number) => Buffer.from(`entry ${n}`)
  let unknown = 0
  for (let n = 1; n <= 10; n += 1) {
    await repeatedly(async () => {
      unknown += 1
      assert.deepEqual(await log.append(head.epoch, n, bytes(n)), { type: 'ok' })
    }, 10_000)
  }
  // It has learnt how long it takes: nearly every append is sent once.
  assert.ok(unknown < 15, `${unknown} tries`)
  proxy.delayMs = 0
  let next = 11
  for (let tookMs = Infinity; next <= 13 || tookMs > 100; next += 1) {
    const sinceMs = performance.now()
    await repeatedly(() => log.append(head.epoch, next, bytes(next)), 10_000)
    tookMs = performance.now() - sinceMs
  }
  proxy.delayMs = 2000
  const sinceMs = performance.now()
  await assert.rejects(log.append(head.epoch, next, bytes(next)))
  assert.ok(performance.now() - sinceMs < 1000)
})
