import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeUserToken, readUserToken } from './user-tokens.ts'

const key = 'a key'

test('a token says what was put into it, to whoever has the key, until its time is over', () => {
  const content = { user: 'Ann Müller', onBehalf: true, untilMs: 1000 }
  const token = makeUserToken(key, content)
  assert.match(token, /^mu_[\w.-]+$/)
  assert.deepEqual(readUserToken(key, token, 999), content)
  assert.equal(readUserToken(key, token, 1000), undefined)
  assert.equal(readUserToken('another', token, 0), undefined)
})

test('a token that somebody has changed is none', () => {
  const token = makeUserToken(key, { user: 'ann' })
  const [text, sign] = token.slice('mu_'.length).split('.')
  const other = Buffer.from(JSON.stringify({ user: 'bob' })).toString('base64url')
  for (const made of [
    `mu_${other}.${sign}`,
    `mu_${text}.`,
    `mu_${text}`,
    `mu_${text}.${sign}x`,
    `${token}.${sign}`,
    'mu_',
  ])
    assert.equal(readUserToken(key, made, 0), undefined, made)
})

test('names that would be mistaken for others are refused', () => {
  for (const user of ['', ' ann', 'a\nb', 'client', 'x'.repeat(257)])
    assert.throws(() => makeUserToken(key, { user }), /Cannot make a token/, JSON.stringify(user))
})
