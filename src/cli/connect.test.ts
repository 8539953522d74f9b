import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { ensureTokens } from '../api/tokens.ts'
import { tokenOf } from './connect.ts'
import { servedFile } from './places.ts'

test('tokenOf finds the token of an own server on this host, and offers it to no other host', () => {
  const home = mkdtempSync(join(tmpdir(), 'muster-tokens-'))
  const before = { ...process.env }
  process.env['MUSTER_DATA'] = join(home, 'data')
  delete process.env['MUSTER_TOKEN']
  try {
    const tokens = ensureTokens(join(home, 'elsewhere'))
    mkdirSync(dirname(servedFile('7001')), { recursive: true })
    writeFileSync(servedFile('7001'), join(home, 'elsewhere'))
    assert.equal(tokenOf(undefined, 'client', 'http://127.0.0.1:7001'), tokens.client)
    assert.equal(tokenOf(undefined, 'worker', 'http://localhost:7001/'), tokens.worker)
    assert.equal(tokenOf(undefined, 'client', 'http://127.0.0.1:7002'), undefined)
    assert.equal(tokenOf(undefined, 'client', 'http://192.0.2.1:7001'), undefined)
    assert.equal(tokenOf(undefined, 'client', 'http://example.com:7001'), undefined)
    assert.equal(tokenOf('given', 'client', 'http://example.com:7001'), 'given')
    process.env['MUSTER_TOKEN'] = 'from the environment'
    assert.equal(tokenOf(undefined, 'client', 'http://127.0.0.1:7001'), 'from the environment')
  } finally {
    process.env = before
    rmSync(home, { recursive: true })
  }
})
