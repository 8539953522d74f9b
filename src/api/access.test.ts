import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { userInfo } from 'node:os'
import { test } from 'node:test'
import Fastify from 'fastify'
import { guard, type KnownUserTokens } from './access.ts'
import { problemOf } from './problems.ts'
import { userOf } from './request-parts.ts'
import { newUserToken, userTokenId } from './user-tokens.ts'

/** What a coordinator would know of users' tokens. */
class Users implements KnownUserTokens {
  readonly good = new Map<string, { digest: string; user: string; onBehalf?: true; untilMs?: number }>()
  /** Happens when the rest of the log is read. */
  unread: () => void = () => undefined

  make(content: { user: string; onBehalf?: true; untilMs?: number }): string {
    const { id, text, digest } = newUserToken()
    this.good.set(id, { digest, ...content })
    return text
  }

  taken(text: string): void {
    assert.ok(this.good.delete(userTokenId(text)!))
  }

  find(id: string, nowMs: number) {
    const found = this.good.get(id)
    return (found?.untilMs ?? Infinity) > nowMs ? found : undefined
  }

  async settled() {
    this.unread()
  }
}

test('a connection that was let in is asked again when it shows something else', async (t) => {
  const app = Fastify()
  app.setErrorHandler((error: Error, _request, reply) => {
    const problem = problemOf(error)
    return reply.status(problem.status).send(problem)
  })
  guard(app, { type: 'tcp', tokens: { client: 'mc_right', worker: 'mw_right' }, hostNames: ['tests'] })
  app.get('/role', async (request) => request.role)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  t.after(async () => {
    agent.destroy()
    await app.close()
  })
  const { port } = app.server.address() as AddressInfo
  const connections = new Set<number>()
  const ask = (token: string, more: Record<string, string> = {}): Promise<number> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${token}`, host: 'tests', ...more }
      http
        .get({ agent, port, host: '127.0.0.1', path: '/role', headers }, (response) => {
          connections.add(response.socket.localPort!)
          response.resume().on('end', () => resolve(response.statusCode!))
        })
        .on('error', reject)
    })

  assert.equal(await ask('mc_right'), 200)
  assert.equal(await ask('mc_right'), 200)
  assert.equal(await ask('mc_wrong'), 401)
  assert.equal(await ask('mw_right'), 403, 'a worker is no client')
  assert.equal(await ask('mc_right', { host: 'elsewhere' }), 403)
  assert.equal(await ask('mc_right', { origin: 'http://elsewhere' }), 403)
  assert.equal(await ask('mc_right', { origin: 'http://tests' }), 200)
  assert.equal(await ask(''), 401)
  assert.equal(connections.size, 1, 'all by one connection')
})

test('whose runs count as whose is what the token says, for as long as it is good', async (t) => {
  const app = Fastify()
  app.setErrorHandler((error: Error, _request, reply) => {
    const problem = problemOf(error)
    return reply.status(problem.status).send(problem)
  })
  const users = new Users()
  guard(app, { type: 'tcp', tokens: { client: 'mc_right', worker: 'mw_right' }, hostNames: ['tests'] }, users)
  app.get<{ Querystring: { user?: string } }>('/user', async (request) => userOf(request, request.query.user))
  t.after(() => app.close())
  const ask = async (token: string, query: Record<string, string> = {}) => {
    const headers = { authorization: `Bearer ${token}`, host: 'tests', 'muster-client': 'bob@laptop' }
    const { statusCode, body } = await app.inject({ url: '/user', headers, query })
    return [statusCode, body] as const
  }

  assert.deepEqual(await ask('mc_right'), [200, 'client'])
  const ann = users.make({ user: 'ann' })
  assert.deepEqual(await ask(ann), [200, 'ann'])
  assert.deepEqual(await ask(ann, { user: 'ann' }), [200, 'ann'])
  const [status, body] = await ask(ann, { user: 'bob' })
  assert.equal(status, 403)
  assert.match(body, /Cannot submit for user 'bob': this token is of 'ann'/)
  assert.match(body, /muster token user NAME --on-behalf/)
  assert.equal((await ask('mc_right', { user: 'bob' }))[0], 403)
  const ci = users.make({ user: 'ci', onBehalf: true })
  assert.deepEqual(await ask(ci, { user: 'bob' }), [200, 'bob'])
  assert.deepEqual(await ask(ci), [200, 'ci'])
  assert.equal((await ask(users.make({ user: 'ann', untilMs: Date.now() - 1 })))[0], 401)
  assert.equal((await ask(newUserToken().text))[0], 401, 'one of another coordinator')
  assert.equal((await ask(ann.slice(0, 13)))[0], 401, 'an id alone opens nothing')
  assert.equal((await ask(`${ann.slice(0, 14)}${ci.slice(14)}`))[0], 401, 'nor does the secret of another')
  users.taken(ann)
  const [gone, why] = await ask(ann)
  assert.equal(gone, 401)
  assert.match(why, /was taken back/)
  assert.deepEqual(await ask(ci), [200, 'ci'])
})

test('a token that was taken back no longer opens a connection that it opened before', async (t) => {
  const app = Fastify()
  const users = new Users()
  guard(app, { type: 'tcp', tokens: { client: 'mc_right', worker: 'mw_right' }, hostNames: ['tests'] }, users)
  app.get('/user', async (request) => userOf(request))
  await app.listen({ host: '127.0.0.1', port: 0 })
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  t.after(async () => {
    agent.destroy()
    await app.close()
  })
  const ann = users.make({ user: 'ann' })
  const { port } = app.server.address() as AddressInfo
  const ports = new Set<number>()
  const ask = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${ann}`, host: 'tests' }
      http
        .get({ agent, port, host: '127.0.0.1', path: '/user', headers }, (response) => {
          ports.add(response.socket.localPort!)
          response.resume().on('end', () => resolve(response.statusCode!))
        })
        .on('error', reject)
    })
  assert.equal(await ask(), 200)
  assert.equal(await ask(), 200)
  users.taken(ann)
  assert.notEqual(await ask(), 200)
  assert.equal(ports.size, 1, 'all by one connection')
})

test('a token that was taken back before all of a body was there does nothing with it', async (t) => {
  const app = Fastify()
  app.setErrorHandler((error: Error, _request, reply) => reply.status(problemOf(error).status).send(problemOf(error)))
  const users = new Users()
  guard(app, { type: 'tcp', tokens: { client: 'mc_right', worker: 'mw_right' }, hostNames: ['tests'] }, users)
  let begun: () => void
  app.addHook('onRequest', (_request, _reply, done) => {
    begun()
    done()
  })
  const taken: unknown[] = []
  app.post('/runs', async (request) => taken.push(request.body))
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.after(() => app.close())
  const { port } = app.server.address() as AddressInfo
  const send = (token: string, halfway: () => void): Promise<number> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${token}`, host: 'tests', 'content-type': 'application/json' }
      const request = http.request({ port, host: '127.0.0.1', path: '/runs', method: 'POST', headers }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode!))
      })
      begun = () => {
        halfway()
        request.end('1}')
      }
      request.on('error', reject).write('{"a":')
    })
  const ann = users.make({ user: 'ann' })
  assert.equal(await send(ann, () => undefined), 200)
  assert.equal(await send(ann, () => users.taken(ann)), 401)
  const ci = users.make({ user: 'ci' })
  const { digest } = users.good.get(userTokenId(ci)!)!
  // Its state is another for a moment.
  users.unread = () => users.good.set(userTokenId(ci)!, { digest, user: 'ci' })
  assert.equal(await send(ci, () => users.taken(ci)), 200)
  assert.equal(await send('mc_right', () => undefined), 200)
  assert.deepEqual(taken, [{ a: 1 }, { a: 1 }, { a: 1 }])
})

test('a coordinator that has not read of a token yet reads on before it refuses', async (t) => {
  const app = Fastify()
  const users = new Users()
  guard(app, { type: 'tcp', tokens: { client: 'mc_right', worker: 'mw_right' }, hostNames: ['tests'] }, users)
  app.get('/user', async (request) => userOf(request))
  t.after(() => app.close())
  const { id, text, digest } = newUserToken()
  users.unread = () => users.good.set(id, { digest, user: 'ann' })
  const { body } = await app.inject({ url: '/user', headers: { authorization: `Bearer ${text}`, host: 'tests' } })
  assert.equal(body, 'ann')
})

test('while the log says nothing, only so many wait whose tokens nobody knows', async (t) => {
  const app = Fastify()
  app.setErrorHandler((error: Error, _request, reply) => reply.status(problemOf(error).status).send(problemOf(error)))
  const users = new Users()
  const { promise, resolve } = Promise.withResolvers<void>()
  const silent = { find: (id: string, nowMs: number) => users.find(id, nowMs), settled: () => promise }
  guard(app, { type: 'tcp', tokens: { client: 'mc_right', worker: 'mw_right' }, hostNames: ['tests'] }, silent)
  app.get('/user', async (request) => userOf(request))
  t.after(() => app.close())
  await app.ready()
  const ask = async (token: string) =>
    (await app.inject({ url: '/user', headers: { authorization: `Bearer ${token}`, host: 'tests' } })).statusCode
  const waiting = Array.from({ length: 1000 }, () => ask(newUserToken().text))
  assert.equal(await ask(newUserToken().text), 429)
  for (const token of ['mc_right', users.make({ user: 'ann' })]) assert.equal(await ask(token), 200)
  resolve()
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set([401]))
  assert.equal(await ask(newUserToken().text), 401)
})

test('over the socket the user of this host counts', async (t) => {
  const app = Fastify()
  guard(app, { type: 'socket' })
  app.get('/user', async (request) => userOf(request))
  t.after(() => app.close())
  const { body } = await app.inject({ url: '/user', headers: { 'muster-client': 'bob@laptop' } })
  assert.equal(body, userInfo().username)
})
