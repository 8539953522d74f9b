import assert from 'node:assert/strict'
import { test } from 'node:test'
import { breakerRow, letterRows } from './failure-rows.ts'
import { HostLoads } from './host-loads.ts'
import { projectEntry } from './projection.ts'

const added = {
  type: 'dead-letter.added',
  run: 'r1',
  letters: [
    { letter: 'd1', task: 0, file: 'a' },
    { letter: 'd2', task: 3, file: 'b', replays: 1 },
  ],
  suite: 'unit',
  project: 'p',
  framework: 'node',
  cause: 'lost',
  why: 'worker w was lost',
  attempts: [],
  attemptsMade: 4,
} as const

test('letterRows: one row per letter and change, and what it is about with the first', () => {
  const rows = letterRows(7, added)
  assert.deepEqual(
    rows.map(({ letter, change, task, file, cause, attempts, who }) => [
      letter,
      change,
      task,
      file,
      cause,
      attempts,
      who,
    ]),
    [
      ['d1', 'added', 0, 'a', 'lost', 4, 'coordinator'],
      ['d2', 'added', 3, 'b', 'lost', 4, 'coordinator'],
    ],
  )
  const replayed = {
    type: 'dead-letter.replayed',
    run: 'r1',
    letters: [{ letter: 'd2', task: 0 }],
    replay: 'r2',
    who: 'x',
  } as const
  const [second] = letterRows(8, replayed)
  assert.deepEqual([second!.letter, second!.change, second!.replay_run, second!.who], ['d2', 'replayed', 'r2', 'x'])
  const settled = { type: 'dead-letter.settled', run: 'r1', letters: ['d2'], replay: 'r2', outcome: 'passed' } as const
  const [third] = letterRows(9, { ...settled, removed: true })
  assert.deepEqual([third!.change, third!.outcome, third!.file], ['settled', 'passed', null])
})

test('projectEntry: letters and breakers reach their tables', () => {
  const moved = {
    type: 'breaker.moved',
    scope: 'class:a/b:c',
    from: 'closed',
    to: 'open',
    who: 'coordinator',
    why: '6 of 6',
    counts: { ok: 0, failed: 6, workers: 2 },
    opens: 1,
    untilMs: 99,
  } as const
  const rows = projectEntry(1, 5, [added, moved], { runs: new Map(), results: new Map(), hosts: new HostLoads() })
  assert.equal(rows.dead_letters.length, 2)
  assert.deepEqual(rows.breaker_transitions, [breakerRow(5, moved)])
  assert.deepEqual([rows.breaker_transitions[0]!.kind, rows.breaker_transitions[0]!.until_ms], ['class', 99])
  assert.equal(rows.audit.length, 2)
})
