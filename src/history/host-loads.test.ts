import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HostLoads } from './host-loads.ts'

const machine = { host: 'h1', cpus: 4, speed: 2 }

test('HostLoads: how many ran beside a file, averaged over its time, whatever worker of the host ran them', () => {
  const loads = new HostLoads()
  loads.joined('w1', machine)
  loads.joined('w2', machine)
  loads.joined('far', { ...machine, host: 'h2' })
  const a = loads.started('w1', 'b1', 0)
  const b = loads.started('w2', 'b2', 40)
  const elsewhere = loads.started('far', 'b3', 50)
  const c = loads.started('w1', 'b1', 60)
  // a: alone for 40 ms, with b for 20, with b and c for 40.
  assert.deepEqual(loads.ended('w1', 'b1', a, 100), { speed: 2, beside: (20 + 2 * 40) / 100, host_cpus: 4 })
  // b: 20 with a, 40 with a and c, 40 with c.
  assert.equal(loads.ended('w2', 'b2', b, 140).beside, (20 + 2 * 40 + 40) / 100)
  assert.equal(loads.ended('w1', 'b1', c, 160).beside, (2 * 40 + 40) / 100)
  assert.equal(loads.ended('far', 'b3', elsewhere, 160).beside, 0)
})

test('HostLoads: a batch that is over leaves nothing running, and an unseen start is no load of zero', () => {
  const loads = new HostLoads()
  const lost = loads.started('w1', 'b1', 0)
  loads.batchEnded('w1', 'b1', 10)
  // Its end comes once more, with the task's: it is not taken off twice.
  assert.deepEqual(loads.ended('w1', 'b1', lost, 10), { speed: null, beside: 0, host_cpus: null })
  const next = loads.started('w1', 'b2', 20)
  assert.equal(loads.ended('w1', 'b2', next, 30).beside, 0)
  assert.equal(loads.ended('w1', 'b2', null, 30).beside, null)
})

test('HostLoads: what ran on a machine that has left is forgotten, unless others of its host are there', () => {
  const loads = new HostLoads()
  for (const worker of ['w1', 'w2']) loads.joined(worker, machine)
  const a = loads.started('w1', 'b1', 0)
  loads.started('w2', 'b2', 0)
  loads.left('w2')
  assert.equal(loads.ended('w1', 'b1', a, 10).beside, 1)
  loads.left('w1')
  loads.joined('w1', machine)
  const again = loads.started('w1', 'b3', 20)
  assert.equal(loads.ended('w1', 'b3', again, 30).beside, 0)
})
