import assert from 'node:assert/strict'
import { describe, test as it } from 'node:test'
import type { TestResult, TestTry } from '../protocol/results.ts'
import { collectFailures } from './failures.ts'
import { digestRecords } from './digest.ts'
import { record, records, stream, test } from './fixtures/records.ts'
import { mergeTask, mergedTasks } from './merge.ts'

const failed: Partial<TestResult> = { status: 'failed', errors: [{ message: 'no' }] }

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}

describe('mergeTask', () => {
  it('takes each test from the last attempt that reported it, and keeps what was before', () => {
    const task = mergeTask(
      record(0, 'a', 'flaky', [
        { tests: [test(['one'], failed), test(['two'])], worker: 'w1' },
        { tests: [test(['two']), test(['three'])], worker: 'w2' },
        { tests: [test(['one']), test(['three'])], worker: 'w3' },
      ]),
    )
    const seen = task.tests.map((one) => [
      one.name[0],
      one.status,
      one.workerName,
      one.flaky,
      one.tries.map((x) => `${x.attempt}:${x.status}`),
    ])
    assert.deepEqual(seen, [
      ['one', 'passed', 'name-of-w3', true, ['1:failed']],
      ['three', 'passed', 'name-of-w3', false, []],
      ['two', 'passed', 'name-of-w2', false, []],
    ])
    assert.equal(task.workerName, 'name-of-w3')
  })

  it("puts the framework's own tries and Muster's attempts into one list, oldest first", () => {
    const tries: TestTry[] = [{ status: 'failed', durationMs: 1, errors: [{ message: 'first' }] }]
    const task = mergeTask(
      record(0, 'a', 'failed', [
        { tests: [test(['one'], { ...failed, tries })] },
        { tests: [test(['one'], { ...failed, tries })] },
      ]),
    )
    assert.deepEqual(
      task.tests[0]?.tries.map((one) => [one.attempt, one.errors?.[0]?.message]),
      [
        [1, 'first'],
        [1, 'no'],
        [2, 'first'],
      ],
    )
    assert.equal(task.tests[0]?.flaky, false)
  })

  it('tells tests of the same name apart by project and occurrence', () => {
    const same = [test(['x']), test(['x'], failed), test(['x'], { project: 'p' })]
    const task = mergeTask(record(0, 'a', 'failed', [{ tests: same }, { tests: same }]))
    assert.deepEqual(
      task.tests.map((one) => [one.project, one.status, one.tries.length]),
      [
        [undefined, 'passed', 0],
        [undefined, 'failed', 1],
        ['p', 'passed', 0],
      ],
    )
  })

  it('is not confused by names that contain one another', () => {
    const task = mergeTask(
      record(0, 'a', 'passed', [
        { tests: [test(['a', 'b']), test(['a › b']), test(['a","b']), test(['b'], { project: 'a' })] },
      ]),
    )
    assert.equal(task.tests.length, 4)
  })

  it('says of a file that did not end by itself what happened', () => {
    const itself = (state: string, why?: string): unknown => {
      const { status, errors, reason } = mergeTask(record(0, 'a', state, [], why)).itself
      return [status, errors[0]?.type, errors[0]?.message ?? reason]
    }
    assert.deepEqual(itself('lost', 'worker gone'), ['failed', 'lost', 'lost: worker gone'])
    assert.deepEqual(itself('timed-out'), ['failed', 'timed-out', 'timed out'])
    assert.deepEqual(itself('failed', 'exit code 3'), ['failed', 'failed', 'exit code 3'])
    assert.deepEqual(itself('failed'), ['failed', 'failed', 'failed without saying which test'])
    assert.deepEqual(itself('cancelled', 'Ctrl-C'), ['skipped', undefined, 'cancelled: Ctrl-C'])
    assert.deepEqual(itself('running'), ['skipped', undefined, 'running'])
    assert.deepEqual(itself('passed'), ['passed', undefined, undefined])
  })
})

describe('mergedTasks', () => {
  it('reads the same from an array in any order and from a stream', async () => {
    const expected = await all(mergedTasks(records))
    assert.deepEqual(await all(mergedTasks(records.toReversed())), expected)
    assert.deepEqual(await all(mergedTasks(stream(records))), expected)
    await assert.rejects(all(mergedTasks(stream(records.toReversed()))), /must come in index order/)
  })

  it('does not depend on which worker ran what', async () => {
    const elsewhere = records.map((one) => ({
      ...one,
      attempts: one.attempts.map((attempt, at) => ({ ...attempt, worker: `o${at}`, workerName: `o${at}` })),
    }))
    const strip = (tasks: unknown): unknown =>
      JSON.parse(JSON.stringify(tasks, (key, value) => (key === 'worker' || key === 'workerName' ? undefined : value)))
    assert.deepEqual(strip(await all(mergedTasks(elsewhere))), strip(await all(mergedTasks(records))))
  })
})

describe('collectFailures and digestRecords', () => {
  it('lists final failures of tests and of files', async () => {
    const failures = await collectFailures(records)
    assert.deepEqual(
      failures.map((one) => [one.file, one.name.length === 1 ? 'nasty' : one.name.join(' › '), one.line]),
      [
        ['a.test.ts', 'math › subtracts', 3],
        ['a.test.ts', 'net › never', 3],
        ['a.test.ts', 'nasty', undefined],
        ['broken.test.ts', '', undefined],
        ['lost.test.ts', '', undefined],
        ['slow.test.ts', '', undefined],
      ],
    )
  })

  it('gathers flaky tests, slow and unfinished files', async () => {
    const digest = await digestRecords(records)
    assert.deepEqual(
      digest.flaky.map((one) => [one.file, one.name.join(' › ')]),
      [
        ['a.test.ts', 'net › retries'],
        ['b.test.ts', 'x'],
        ['crash once.test.ts', ''],
      ],
    )
    assert.deepEqual(
      digest.unfinished.map((one) => one.state),
      ['lost', 'timed-out', 'cancelled'],
    )
    assert.equal(digest.slowest.length, 3)
  })
})
