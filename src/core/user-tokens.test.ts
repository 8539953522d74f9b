import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from './advance.ts'
import { formatOf } from './format.ts'
import { Refused } from './input.ts'
import { defaultLimits } from './limits.ts'
import { capture, restore } from './snapshot.ts'
import { emptyState, type State } from './state.ts'
import { goodUserToken, userTokensMax } from './user-tokens.ts'

function upgraded(): State {
  const state = emptyState()
  advance(state, { type: 'raise-format', format: 3 }, 0)
  return state
}

const make = (state: State, token: string, nowMs: number, more: { onBehalf?: true; untilMs?: number } = {}) =>
  advance(state, { type: 'make-user-token', who: 'w', token, digest: `d-${token}`, user: 'ann', ...more }, nowMs)
const revoke = (state: State, ...tokens: string[]) =>
  advance(state, { type: 'revoke-user-tokens', who: 'w', tokens }, 9)

test('a token is good from when it was made until it is taken back or its time is over', () => {
  const state = upgraded()
  make(state, 'a', 1)
  make(state, 'b', 2, { onBehalf: true, untilMs: 100 })
  assert.deepEqual(goodUserToken(state, 'a', 1e12), { digest: 'd-a', user: 'ann', madeAtMs: 1, madeBy: 'w' })
  assert.equal(goodUserToken(state, 'b', 99)?.onBehalf, true)
  assert.equal(goodUserToken(state, 'b', 100), undefined)
  assert.equal(goodUserToken(state, 'c', 1), undefined)
  assert.deepEqual(revoke(state, 'a', 'c', 'a'), [{ type: 'user-tokens.revoked', who: 'w', tokens: ['a'] }])
  assert.equal(goodUserToken(state, 'a', 10), undefined)
  assert.deepEqual(revoke(state, 'a'), [], 'once is enough')
})

test('one token of a user is taken back without the others', () => {
  const state = upgraded()
  for (const token of ['laptop', 'ci']) make(state, token, 1)
  revoke(state, 'laptop')
  assert.deepEqual([...state.userTokens.keys()], ['ci'])
})

test('tokens and what was taken back outlive a snapshot', () => {
  const state = upgraded()
  make(state, 'a', 1, { untilMs: 5 })
  make(state, 'b', 2)
  revoke(state, 'b')
  const again = restore(JSON.parse(JSON.stringify(capture(state))), defaultLimits)
  assert.deepEqual(again.userTokens, state.userTokens)
  assert.deepEqual([...again.userTokens.keys()], ['a'])
})

test('what has run out is forgotten, and does not count against the bound', () => {
  const state = upgraded()
  for (let at = 0; at < userTokensMax; at += 1) make(state, `t${at}`, 1, { untilMs: at === 0 ? 50 : 100 })
  assert.throws(() => make(state, 'more', 49), /there are 10000 tokens of users already/)
  make(state, 'more', 50)
  assert.equal(state.userTokens.size, userTokensMax)
  make(state, 'last', 100)
  assert.deepEqual([...state.userTokens.keys()], ['more', 'last'])
})

test('an id is given once, and nothing is written before every coordinator can read it', () => {
  const state = upgraded()
  const [made] = make(state, 'a', 1)
  assert.equal(formatOf(made!), 3)
  assert.throws(() => make(state, 'a', 2), Refused)
  const old = emptyState()
  assert.throws(() => make(old, 'a', 1), /once all coordinators have been upgraded/)
  assert.deepEqual(revoke(old, 'a'), [])
})
