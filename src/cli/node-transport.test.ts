import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import http from 'node:http'
import type net from 'node:net'
import { test } from 'node:test'
import { Client } from '../client/client.ts'
import { isMusterError } from '../protocol/errors.ts'
import { transportTo } from './node-transport.ts'

type Served = AsyncDisposable & {
  readonly url: string
  readonly asked: string[]
  readonly positions: (string | undefined)[]
  close(): Promise<void>
}

type Answer = {
  readonly status?: number
  readonly body?: unknown
  readonly headers?: Record<string, string>
  /** Ends the connection instead. */
  readonly breaks?: boolean
}

/** A stand-in for a coordinator, on a port of its own. */
async function serve(answer: (url: string) => Answer, port = 0): Promise<Served> {
  const asked: string[] = []
  const positions: (string | undefined)[] = []
  const server = http.createServer((request, response) => {
    asked.push(request.url!)
    positions.push(request.headers['muster-position'] as string | undefined)
    request.resume().on('end', () => {
      const { status = 200, body = {}, headers = {}, breaks } = answer(request.url!)
      if (breaks) response.destroy()
      else response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
    })
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const close = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  const url = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`
  return { url, asked, positions, close, [Symbol.asyncDispose]: close }
}

/** Nobody listens there: the port is given to nobody who asks for any. */
const gone = 'http://127.0.0.1:1'

function clientOf(...urls: readonly string[]): Client & { close(): void } {
  const transport = transportTo(urls, () => 'token')
  return Object.assign(new Client(transport, 'test'), { close: () => transport.close() })
}

const health = { status: 'ok' }

test('transportTo goes on to the next address, and stays with the one that answered', async () => {
  await using here = await serve(() => ({ body: health }))
  const client = clientOf(gone, here.url)
  assert.deepEqual(await client.health(), health)
  assert.equal(client.transport.address, here.url)
  await client.shutdown()
  assert.equal(here.asked.length, 2)
  client.close()
})

test('what may be asked twice is asked elsewhere when a connection breaks; what may not is an error', async () => {
  await using breaking = await serve(() => ({ breaks: true }))
  await using here = await serve(() => ({ body: { run: 'r1' } }))
  const client = clientOf(breaking.url, here.url)
  assert.equal((await client.submit({ framework: 'command', files: [] }, 'key')).run, 'r1')
  assert.equal(breaking.asked.length, 1)
  const other = clientOf(breaking.url, here.url)
  await assert.rejects(other.shutdown(), { code: 'coordinator_unreachable' })
  // It was not repeated, but the next question goes to the other one.
  assert.equal(here.asked.length, 1)
  assert.equal((await other.run('r1')).run, 'r1')
  assert.equal(breaking.asked.length, 2)
  client.close()
  other.close()
})

test('one that cannot serve is passed over; when none can, every address and reason is named', async () => {
  const problem = { code: 'unavailable', detail: 'no leader is known', status: 503 }
  await using waiting = await serve(() => ({ status: 503, body: problem }))
  {
    await using here = await serve(() => ({ body: health }))
    const client = clientOf(waiting.url, gone, here.url)
    assert.deepEqual(await client.health(), health)
    client.close()
  }
  const client = clientOf(waiting.url, gone)
  await assert.rejects(client.health(), (error) => {
    assert.ok(isMusterError(error))
    assert.equal(error.code, 'coordinator_unreachable')
    assert.match(error.message, /^Cannot reach any of 2 coordinators: /)
    assert.ok(error.message.includes(`${waiting.url} (no leader is known)`), error.message)
    assert.match(error.message, new RegExp(`${gone} \\(.*ECONNREFUSED`))
    return true
  })
  // The order turned: now the one that answers comes last, and what it says is the answer.
  await assert.rejects(client.health(), (error) => {
    assert.ok(isMusterError(error))
    assert.ok(error.message.includes('no leader is known') && error.message.includes(gone), error.message)
    return true
  })
  client.close()
})

test('a client sends back the highest log position that it has seen', async () => {
  let position = 7
  await using here = await serve(() => ({ body: health, headers: { 'Muster-Position': String(position) } }))
  const client = clientOf(here.url)
  await client.health()
  position = 5
  await client.health()
  await client.health()
  assert.deepEqual(here.positions, [undefined, '7', '7'])
  client.close()
})

test('bytes are sent again from their start', async () => {
  await using breaking = await serve(() => ({ breaks: true }))
  await using here = await serve(() => ({}))
  const client = clientOf(breaking.url, here.url)
  let opened = 0
  const open = async function* () {
    opened += 1
    yield Buffer.from('abc')
  }
  await client.putBlob('0'.repeat(64), open, 3)
  assert.equal(opened, 2)
  client.close()
})

test('a feed from a coordinator that falls silent ends, says whose it was, and the next one is asked', async () => {
  // One that completes the handshake and is then as quiet as a stopped process; `ws` would answer pings.
  const quiet = http.createServer()
  quiet.on('upgrade', (request, socket) => {
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64')
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
    )
    socket
      .on('error', () => undefined)
      .on('end', () => socket.end())
      .resume()
  })
  await new Promise<void>((resolve) => quiet.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(quiet.address() as net.AddressInfo).port}`
  await using other = await serve(() => ({ body: health }))
  const client = clientOf(url, other.url)
  const silent = {
    code: 'coordinator_unreachable',
    message: `The connection to ${url} broke (nothing came for 5 s)`,
  }
  await assert.rejects(client.watch('r1').next(), silent)
  assert.equal(client.transport.address, other.url)
  client.close()
  quiet.closeAllConnections()
  await new Promise((resolve) => quiet.close(resolve))
})
