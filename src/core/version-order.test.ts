import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isVersion, versionOrder } from './version-order.ts'

/** Each is older than all that follow it. */
const ascending = [
  '0',
  '1.0.0-alpha',
  '1.0.0-alpha.1',
  '1.0.0-alpha.beta',
  '1.0.0-beta',
  '1.0.0-beta.2',
  '1.0.0-beta.11',
  '1.0.0-rc.1',
  '1.0.0',
  '1.0.1',
  '1.1.1_2',
  '2.7.4',
  '2.7.4p57',
  '2.7.4p191',
  '3.13.0rc1',
  '3.13.0rc2',
  '3.13.0rc10',
  '3.13',
  '6.8.0',
  '6.8.0-49-generic',
  '6.8.0-100-generic',
  '6.8.1',
  'v20.9',
  'v20.11.1',
  '120.0.6099.9',
  '120.0.6099.109',
  '20261122101112131415',
  '20261122101112131416',
]

test('versionOrder: numbers as numbers, pre-releases before their release, revisions after it', () => {
  ascending.forEach((older, n) =>
    ascending.forEach((newer, m) => {
      assert.equal(Math.sign(versionOrder(older, newer)!), Math.sign(n - m), `${older} and ${newer}`)
    }),
  )
})

test('versionOrder: what says the same is equal', () => {
  for (const [one, other] of [
    ['20', 'v20.0.0'],
    ['24.04', '24.4'],
    ['1.0.0+build.5', '1.0'],
    ['1.0.0-rc.1', '1.0.0rc1'],
    ['153.7.0esr', '153.7'],
  ])
    assert.equal(versionOrder(one!, other!), 0, `${one} and ${other}`)
})

test('isVersion: words, sizes and names of systems are none', () => {
  for (const text of ['', 'v', 'linux', 'x64', '24GiB', '4xlarge', '1.', '.5', '-5', '1..2', '1.2 3', 'ubuntu-24.04'])
    assert.ok(!isVersion(text), text)
  assert.equal(versionOrder('linux', '1'), undefined)
  assert.equal(versionOrder('1', 'linux'), undefined)
})

test('versionOrder: is an order', () => {
  const version = fc.tuple(
    fc.array(fc.nat(3), { minLength: 1, maxLength: 3 }),
    fc.constantFrom('', 'rc1', '-rc.2', '-rc', '-1', '-1-a', '+x', '-a.b'),
  )
  const text = version.map(([numbers, suffix]) => numbers.join('.') + suffix)
  const order = (a: string, b: string) => Math.sign(versionOrder(a, b)!)
  fc.assert(
    fc.property(text, text, text, (a, b, c) => {
      assert.equal(order(a, a), 0)
      assert.equal(order(a, b) + order(b, a), 0)
      if (order(a, b) <= 0 && order(b, c) <= 0) assert.ok(order(a, c) <= 0)
    }),
  )
})

test('versionOrder: the time for a long text is in proportion to its length', () => {
  const startedUs = process.cpuUsage().user
  for (const unit of ['1', '1.', '1-', '1a', '-', '0']) {
    const text = `1${unit.repeat(200_000)}!`
    assert.equal(versionOrder(text, text), undefined)
  }
  const long = `1${'.10'.repeat(100_000)}`
  assert.equal(versionOrder(long, long), 0)
  // About 0.1 s; in proportion to the square of the length it would be minutes.
  assert.ok(process.cpuUsage().user - startedUs < 5_000_000)
})
