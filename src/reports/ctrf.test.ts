import assert from 'node:assert/strict'
import { describe, test as it } from 'node:test'
import { isTestFlaky, validate } from 'ctrf'
import type { CTRFReport } from 'ctrf'
import { writeCtrf } from './ctrf.ts'
import { records, run, stream, written } from './fixtures/records.ts'

const reportId = '6f1b9a1e-3f0e-4c58-9a55-3f6f8f1f2c11'
const read = async (all: Parameters<typeof writeCtrf>[1] = records, view = run): Promise<CTRFReport> =>
  JSON.parse(await written((sink) => writeCtrf(view, all, sink, { reportId }))) as CTRFReport

describe('writeCtrf', () => {
  it("is valid by the format's own validator", async () => {
    for (const report of [
      await read(),
      await read([]),
      await read(stream(records), { ...run, framework: 'command' }),
    ]) {
      assert.deepEqual(validate(report), { valid: true, errors: [] })
    }
  })

  it('has a summary that counts its tests', async () => {
    const { summary, tests, tool } = (await read()).results
    const count = (status: string): number => tests.filter((one) => one.status === status).length
    assert.deepEqual(tool, { name: 'vitest', version: '4.1.2' })
    assert.deepEqual(summary, {
      tests: tests.length,
      passed: count('passed'),
      failed: count('failed'),
      skipped: count('skipped'),
      pending: count('pending'),
      other: count('other'),
      flaky: 3,
      suites: records.length,
      start: run.startedAtMs,
      stop: run.endedAtMs,
      duration: 10_000,
    })
    assert.equal(tests.filter(isTestFlaky).length, 3)
  })

  it('tells retries, failures and files that did not finish', async () => {
    const { tests } = (await read()).results
    const find = (name: string): CTRFReport['results']['tests'][number] => tests.find((one) => one.name === name)!
    const { extra: _, ...retried } = find('retries')
    assert.deepEqual(retried, {
      name: 'retries',
      status: 'passed',
      duration: 5,
      suite: ['a.test.ts', 'net'],
      rawStatus: 'passed',
      filePath: 'a.test.ts',
      retries: 1,
      retryAttempts: [
        {
          attempt: 1,
          status: 'failed',
          duration: 9,
          message: 'socket hang up',
          trace: 'Error: socket hang up',
          stdout: ['first try'],
          extra: { musterAttempt: 1 },
        },
      ],
      flaky: true,
      threadId: 'name-of-w1',
    })
    assert.equal(find('later').status, 'pending')
    assert.equal(find('subtracts').message, 'expected 1 to be 2 (and 1 more)')
    assert.deepEqual([find('lost.test.ts').status, find('lost.test.ts').rawStatus], ['failed', 'lost'])
    assert.deepEqual([find('never.test.ts').status, find('never.test.ts').message], ['other', 'cancelled: Ctrl-C'])
    assert.equal(find('x').retries, 1)
  })
})
