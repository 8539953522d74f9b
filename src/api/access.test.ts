import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import Fastify from 'fastify'
import { guard } from './access.ts'
import { problemOf } from './problems.ts'

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
