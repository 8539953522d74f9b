import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMusterError } from '../protocol/errors.ts'
import { afterFlag, checkNeedFlags, deadlineFlag, priorityFlag, requiresOf } from './need-flags.ts'

const usage = (pattern: RegExp) => (error: unknown) =>
  isMusterError(error) && error.code === 'usage' && pattern.test(error.message)

test('requiresOf: flags in the words of the configuration', () => {
  assert.deepEqual(
    requiresOf({
      require: ['os == linux', 'cpus >= 2 or a'],
      lock: ['db', 'api:shared', 'port:3'],
      gpus: 1,
      memory: '8GiB',
    }),
    {
      where: '(os == linux) and (cpus >= 2 or a)',
      locks: [
        { name: 'db', mode: 'exclusive' },
        { name: 'api', mode: 'shared' },
        { name: 'port', max: 3 },
      ],
      gpus: 1,
      memory: '8GiB',
    },
  )
  assert.throws(() => requiresOf({ require: ['gpu.memory >='] }), usage(/^--require: .*got the end\n/s))
  assert.throws(() => requiresOf({ lock: ['db:often'] }), usage(/^--lock: expected NAME, NAME:shared or NAME:N/))
  assert.throws(() => requiresOf({ lock: [':shared'] }), usage(/--lock/))
  assert.throws(
    () => requiresOf({ lock: ['x'.repeat(257)] }),
    usage(/^--lock: expected a name of at most 256 characters, received 257$/),
  )
  assert.throws(
    () => requiresOf({ lock: ['db', 'db:shared'] }),
    usage(/^--lock: expected each lock once, received 'db' twice$/),
  )
  assert.throws(() => requiresOf({ lock: ['a\u001b[31mb'] }), usage(/--lock: .*received 'ab'$/))
  assert.throws(() => checkNeedFlags({ label: ['zone'] }), usage(/^--label: expected KEY=VALUE, received 'zone'/))
  assert.throws(() => requiresOf({ memory: '8' }), usage(/--memory: expected an amount such as 8GiB, received '8'/))
})

test('priorityFlag: classes and numbers', () => {
  assert.deepEqual(['high', '-7', 3, 'normal', undefined].map(priorityFlag), [100, -7, 3, 0, undefined])
  assert.throws(
    () => priorityFlag('urgent'),
    usage(/expected critical, high, normal, low, background or a whole number/),
  )
  assert.throws(() => priorityFlag('5000'), usage(/-1000 to 1000/))
})

test('deadlineFlag: the next time that the clock says so, or what the coordinator understands', () => {
  const noon = new Date(2026, 10, 22, 12, 0, 0)
  assert.equal(deadlineFlag('14:00', noon), new Date(2026, 10, 22, 14, 0, 0).toISOString())
  assert.equal(deadlineFlag('9:30', noon), new Date(2026, 10, 23, 9, 30, 0).toISOString())
  assert.equal(deadlineFlag('20m', noon), '20m')
  assert.equal(deadlineFlag('2026-11-22T14:00:00+01:00', noon), '2026-11-22T14:00:00+01:00')
  for (const wrong of ['25:00', 'soon', '2026-11-22T14:00:00', '0s'])
    assert.throws(() => deadlineFlag(wrong, noon), usage(/--deadline: expected a duration/), wrong)
})

test('afterFlag: runs that must pass, or only end', () => {
  assert.deepEqual(afterFlag(['r1', 'r2:finished']), [
    { run: 'r1', when: 'passed' },
    { run: 'r2', when: 'finished' },
  ])
  assert.throws(() => afterFlag(['r1:failed']), usage(/--after: expected RUN or RUN:finished/))
})
