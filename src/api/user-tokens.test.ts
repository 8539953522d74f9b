import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isTokenUserName, isUserToken, newUserToken, userTokenId } from './user-tokens.ts'

test('a token is known by its digest, called by its id, and is like no other', () => {
  const [one, other] = [newUserToken(), newUserToken()]
  assert.match(one.text, /^mu_[\w-]+$/)
  assert.notEqual(one.id, other.id)
  assert.equal(userTokenId(one.text), one.id)
  assert.equal(userTokenId(one.id), one.id)
  assert.ok(isUserToken(one.text, one.digest))
  assert.ok(!one.digest.includes(one.text.slice(one.id.length + 1)))
  for (const text of [other.text, one.id, `${one.id}_`, `${one.text}x`, one.text.toUpperCase(), ''])
    assert.ok(!isUserToken(text, one.digest), text)
})

test('what is no token has no id', () => {
  for (const text of ['', 'mu_', 'ann', 'mc_0123456789', 'mu_012345678', 'mu_0123456789x', 'mu_0123456789_a b'])
    assert.equal(userTokenId(text), undefined, text)
})

test('names that would be mistaken for others are refused', () => {
  assert.ok(isTokenUserName('Ann Müller'))
  for (const user of ['', ' ann', 'a\nb', 'client', 'mu_0123456789', 'x'.repeat(257)])
    assert.ok(!isTokenUserName(user), JSON.stringify(user))
})
