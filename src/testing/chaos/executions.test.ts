/** What the ledger of executions gives away: each case is one that must be found, or must not. */
import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, test } from 'node:test'
import { Ledger } from '../sim/ledger.ts'
import { Violations } from '../sim/violations.ts'
import { Executions, type Freeze } from './executions.ts'

const file = 't/a.test.mjs'
type Told = readonly [batch: string, worker: string, fromMs: number, toMs: number]

/** Two attempts of one file, the first put back, the second reported; and what was executed. */
function check(told: readonly Told[], freezes: readonly Freeze[] = []): string[] {
  const violations = new Violations()
  const ledger = new Ledger(violations)
  const attempt = (batch: string, ended: string) => ({ batch, ended, reported: ended === 'passed' })
  const task = { file, requeued: ['lost'], attempts: [attempt('b1', 'lost'), attempt('b2', 'passed')] }
  ledger.runs.set('r1', { id: 'r1', tasks: [task] } as never)
  for (const [batch, worker] of [
    ['b1', 'w1'],
    ['b2', 'w2'],
  ] as const) {
    ledger.batches.set(batch, { id: batch, run: 'r1', worker, tasks: [0] } as never)
  }
  const directory = mkdtempSync(path.join(os.tmpdir(), 'muster-executions-'))
  try {
    const book = path.join(directory, 'executions.jsonl')
    for (const [at, [batch, worker, fromMs, toMs]] of told.entries()) {
      const lines = [
        { id: String(at), type: 'begin', atMs: fromMs, file, run: 'r1', batch, worker },
        { id: String(at), type: 'tick', atMs: toMs },
      ]
      appendFileSync(book, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    }
    const executions = new Executions(book)
    executions.read()
    executions.check(['r1'], ledger, freezes, (worker) => worker)
  } finally {
    rmSync(directory, { recursive: true })
  }
  return violations.all.map((one) => one.check)
}

describe('executions', () => {
  const second: Told = ['b2', 'w2', 2000, 3000]
  test('one after the other is right', () => {
    assert.deepEqual(check([['b1', 'w1', 0, 1000], second]), [])
  })
  test('two at the same time are found', () => {
    assert.deepEqual(check([['b1', 'w1', 0, 2500], second]), [
      'a worker that is cut off ends its tests before others start them',
    ])
  })
  test('two at the same time are excused while the first worker was frozen, and not long after', () => {
    const first: Told = ['b1', 'w1', 0, 9000]
    assert.deepEqual(check([first, second], [{ worker: 'w1', fromMs: 500, toMs: 8000 }]), [])
    assert.equal(check([first, second], [{ worker: 'w1', fromMs: 500, toMs: 3000 }]).length, 1)
    assert.equal(check([first, second], [{ worker: 'w2', fromMs: 500, toMs: 8000 }]).length, 1)
  })
  test('what nobody assigned, or not to this worker, is found', () => {
    assert.deepEqual(check([['b9', 'w1', 0, 1], second]), ['executed means assigned'])
    assert.deepEqual(check([['b1', 'w2', 0, 1], second]), ['executed means assigned'])
  })
  test('an attempt that is executed twice is found', () => {
    assert.deepEqual(check([second, ['b2', 'w2', 4000, 5000]]), ['an attempt is executed once'])
  })
  test('a report without an execution is found', () => {
    assert.deepEqual(check([['b1', 'w1', 0, 1000]]), ['reported means executed'])
  })
})
