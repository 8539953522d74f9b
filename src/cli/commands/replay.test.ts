import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Replay } from '../../scheduling/replay.ts'
import { replayText } from './replay.ts'

const outcome = { makespanMs: 100_000, waitMeanMs: 0, waitP95Ms: 0, fairness: 1, unfinished: 0 }
const replayed: Replay = {
  fromMs: 0,
  toMs: 100_000,
  policy: 'fifo',
  fleet: '1 worker',
  recordedPolicy: 'history',
  really: outcome,
  same: outcome,
  replayed: { ...outcome, makespanMs: 50_000 },
  runs: [],
  leftOut: [],
}
const lastLine = (given: Partial<Replay>): string =>
  replayText({ ...replayed, ...given }, [], 'history', false)
    .trimEnd()
    .split('\n')
    .at(-1)!

test('replayText: a makespan that is shorter because a run never ends says so', () => {
  assert.match(lastLine({}), /this one's is −50\.0 %$/)
  const short = { ...outcome, makespanMs: 50_000 }
  assert.match(
    lastLine({ replayed: { ...short, unfinished: 1 } }),
    /this one's is −50\.0 %, with 1 run more that never ends and doesn't count in it$/,
  )
  assert.match(
    lastLine({ same: { ...outcome, unfinished: 2 }, replayed: short }),
    /this one's is −50\.0 %, with 2 runs fewer that never end and don't count in it$/,
  )
})
