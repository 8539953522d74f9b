/** Who gets in over TCP: only with the right token, addressed by a right name, and from no foreign web page. */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import http from 'node:http'
import { after, before, test } from 'node:test'
import { WebSocket } from 'ws'
import { Fleet } from './fixtures/fleet.ts'
import { shellSuite } from './fixtures/projects.ts'
import { Stage } from './fixtures/stage.ts'

let stage: Stage
let fleet: Fleet
before(async () => {
  stage = await Stage.open(shellSuite({ 'a.sh': '' }))
  fleet = await Fleet.open(stage)
})
after(() => stage[Symbol.asyncDispose]())

type Headers = Readonly<Record<string, string>>

/** Status of a request with exactly these headers; fetch would set some itself. */
function status(path: string, headers: Headers): Promise<number> {
  return new Promise((resolve, reject) => {
    http
      .get(`${fleet.url}/api/v1${path}`, { headers }, (response) => {
        response.resume()
        resolve(response.statusCode!)
      })
      .on('error', reject)
  })
}

/** Status that a WebSocket's handshake ends with; 101 when it opens. */
function handshake(path: string, headers: Headers): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${fleet.url.replace('http', 'ws')}/api/v1${path}`, { headers })
    socket.on('unexpected-response', (request, response) => {
      request.destroy()
      resolve(response.statusCode!)
    })
    socket.on('open', () => {
      socket.terminate()
      resolve(101)
    })
    socket.on('error', reject)
  })
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

test('HTTP and both WebSockets: 401 without the right token, 403 for a wrong role, name or page', async () => {
  const { client, worker } = fleet.tokens
  const host = new URL(fleet.url).host
  const places = [
    ['/runs', client, worker, status, 200],
    ['/feed?run=none', client, worker, handshake, 101],
    ['/worker', worker, client, handshake, 101],
  ] as const
  for (const [path, right, wrongRole, ask, success] of places) {
    assert.equal(await ask(path, bearer(right)), success, path)
    assert.equal(await ask(path, {}), 401, path)
    assert.equal(await ask(path, bearer('mc_wrong')), 401, path)
    assert.equal(await ask(path, { authorization: `Basic ${right}` }), 401, path)
    assert.equal(await ask(path, bearer(wrongRole)), 403, path)
    assert.equal(await ask(path, { ...bearer(right), host: 'evil.example:7357' }), 403, path)
    assert.equal(await ask(path, { ...bearer(right), origin: 'http://evil.example' }), 403, path)
    assert.equal(await ask(path, { ...bearer(right), origin: `http://${host}` }), success, path)
  }
  assert.equal((await fleet.post('/shutdown', {})).status, 403, 'only over the socket')
  assert.equal(await status('/metrics', {}), 401)
})

test('the command line says what is wrong with the token', async () => {
  const env = { MUSTER_DATA: stage.path('elsewhere') }
  const run = (...flags: string[]) => stage.muster(['run', '--server', fleet.url, ...flags], { env })
  for (const [flags, words] of [
    [[], /a token is needed/],
    [['--token', 'nonsense'], /the token is wrong/],
    [['--token', fleet.tokens.worker], /a worker token does not open/],
  ] as const) {
    const { code, stderr } = await run(...flags)
    assert.equal(code, 2, stderr)
    assert.match(stderr, words)
  }
  const join = await stage.muster(
    ['worker', '--join', fleet.url, '--token', fleet.tokens.client, '--data', stage.path('w')],
    { env },
  )
  assert.equal(join.code, 2, join.stderr)
  assert.match(join.stderr, /token/)
  const away = await stage.muster(['run', '--server', 'http://127.0.0.1:1', '--token', 'x'], { env })
  assert.equal(away.code, 3)
  assert.match(away.stderr, /Cannot reach the coordinator at http:\/\/127\.0\.0\.1:1/)
})

test('muster token prints the tokens; the same user needs none; the file is private', async () => {
  for (const role of ['client', 'worker'] as const) {
    const { stdout } = await stage.muster(['token', role, '--data', stage.path('coordinator')])
    assert.equal(stdout.trim(), fleet.tokens[role])
  }
  assert.equal(statSync(stage.path('coordinator', 'tokens.json')).mode & 0o777, 0o600)
  assert.equal((await stage.muster(['token', 'admin'])).code, 2)
})
