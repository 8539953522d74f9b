/** Workers that are told a token and no address: multicast on the loopback interface, with a port of its own. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Bonjour } from 'bonjour-service'
import { freePorts } from '../../log/fixtures/etcd-cluster.ts'
import { announce, discover } from '../discovery.ts'
import { Stage } from './fixtures/stage.ts'

test('a worker with a token finds the coordinators that take it, and no others', async () => {
  await using stage = await Stage.open()
  const [port] = await freePorts(1)
  const env = { MUSTER_MDNS: `127.0.0.1:${port}` }
  const serve = async (name: string) => {
    const data = stage.path(name)
    const program = stage.start(['serve', '--listen', '127.0.0.1:0', '--data', data], { env })
    const [, url] = await program.says(/muster coordinator at (\S+)/)
    const tokens = JSON.parse(readFileSync(`${data}/tokens.json`, 'utf8')) as { readonly worker: string }
    return { url: url!, token: tokens.worker }
  }
  const worker = (token: string, more = {}) =>
    stage.start(['worker', '--token', token, '--data', stage.path(`worker ${token}`)], { env: { ...env, ...more } })
  const one = await serve('one')
  const two = await serve('two')
  for (const { url, token } of [two, one]) assert.equal((await worker(token).says(/joined (\S+) as/))[1], url)
  const bonjour = new Bonjour({ interface: '127.0.0.1', bind: '0.0.0.0', port: port! } as object)
  const txt = { address: 'http://127.0.0.1:1/\u001b[2J', seal: 'x' }
  await once(bonjour.publish({ name: 'hostile', type: 'muster', port: 1, txt, probe: false }), 'up')
  const lost = await worker('mw_another').ended
  await new Promise<void>((resolve) => bonjour.unpublishAll(() => bonjour.destroy(() => resolve())))
  assert.equal(lost.code, 3)
  const all = [one.url, two.url, 'http://127.0.0.1:1/%1B[2J'].sort((a, b) => (a < b ? -1 : 1)).join(', ')
  assert.ok(lost.stderr.includes(`none that takes this token answered; with another token: ${all}`), lost.stderr)
  assert.match(lost.stderr, /'muster token worker' on the coordinator's host/)
  assert.match(lost.stderr, /a coordinator elsewhere needs --join/)
  const off = await worker(one.token, { MUSTER_MDNS: 'off' }).ended
  assert.equal(off.code, 2)
  assert.match(off.stderr, /Looking for coordinators is off \(MUSTER_MDNS\); expected --join URL/)
  for (const odd of ['eth0', '127.0.0.1:99999', '127.0.0.1:0']) {
    const wrong = await worker(one.token, { MUSTER_MDNS: odd }).ended
    const words = `MUSTER_MDNS: expected 'off' or the IPv4 address of an interface, as ADDRESS or ADDRESS:PORT, received '${odd}'`
    assert.ok(wrong.stderr.includes(words), wrong.stderr)
    assert.equal(wrong.code, 2)
  }
})

test('who repeats what a coordinator announces, with an address of their own, is sent no token', async () => {
  const [port] = await freePorts(1)
  const env = { MUSTER_MDNS: `127.0.0.1:${port}` }
  const real = 'http://127.0.0.1:7357'
  const announced = await announce({ address: real, workerToken: 'mw_secret', name: 'real' }, assert.fail, env)
  const bonjour = new Bonjour({ interface: '127.0.0.1', bind: '0.0.0.0', port: port! } as object)
  const heard = Promise.withResolvers<Record<string, string>>()
  const browser = bonjour.find({ type: 'muster' }, ({ txt }) => heard.resolve(txt as Record<string, string>))
  const txt = { ...(await heard.promise), address: 'http://127.0.0.1:6666' }
  browser.stop()
  const forged = bonjour.publish({ name: 'false', type: 'muster', port: 6666, txt, probe: false })
  await once(forged, 'up')
  assert.deepEqual(await discover('mw_secret', env), [real])
  await announced!.stop()
  await new Promise<void>((resolve) => bonjour.unpublishAll(() => bonjour.destroy(() => resolve())))
})

test('a worker that is told nothing says what it waits for', async () => {
  await using stage = await Stage.open()
  const worker = stage.start(['worker', '--data', stage.path('worker')])
  await worker.says(/waiting for this host's own coordinator; to join another: --join URL, or --token TOKEN/)
})
