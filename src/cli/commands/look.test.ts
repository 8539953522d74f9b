import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RunView } from '../../protocol/run-view.ts'
import { testsText, waitingWords } from './look.ts'

test('waitingWords: the place in the queue, when it starts, and why not now', () => {
  const words = (view: Partial<RunView>) => waitingWords(view as RunView)
  assert.equal(words({}), '')
  assert.equal(words({ reason: 'no worker is connected' }), 'no worker is connected')
  assert.equal(words({ queuePosition: 1, expectedStartMs: 0 }), 'number 1 in the queue, starts now')
  assert.equal(
    words({ queuePosition: 1, expectedStartMs: 0, reason: "waits for lock 'db'" }),
    "number 1 in the queue (waits for lock 'db')",
  )
  assert.equal(
    words({ queuePosition: 2, expectedStartMs: 51 * 60_000, reason: 'its quota is spent' }),
    'number 2 in the queue, starts in about 51 m 00 s (its quota is spent)',
  )
  assert.equal(words({ queuePosition: 3, reason: 'behind its breaker' }), 'number 3 in the queue (behind its breaker)')
})

test('testsText: a test whose name has line ends stays on its line, and is not taken for another', () => {
  const row = {
    file: 'a.test.ts',
    medianMs: 1,
    p95Ms: 1,
    runs: 2,
    failures: 1,
    flakes: 1,
    lastStatus: 'passed',
    lastAtMs: 0,
    project: 'p',
    suite: 's',
    lastRun: 'r',
  }
  const tests = ['a\r\nb', 'a b', 'a\u001b[2Jb'].map((name) => ({ ...row, name }))
  const lines = testsText(tests).trimEnd().split('\n')
  assert.equal(lines.length, 4)
  for (const [at, name] of ['a\\r\\nb', 'a b', 'a\\u001b[2Jb'].entries())
    assert.equal(lines[at + 1]!.split('a.test.ts › ')[1], name)
})
