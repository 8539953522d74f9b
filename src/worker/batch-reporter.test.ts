import assert from 'node:assert/strict'
import { it } from 'node:test'
import { BatchReporter } from './batch-reporter.ts'

it("a task's tests leave before the task", () => {
  const sent: string[] = []
  const reporter = new BatchReporter({ batch: 'b1', token: 1 }, (message) => {
    assert.ok(message.type === 'live' || message.type === 'report')
    sent.push(message.type === 'live' ? 'live' : message.kind)
  })
  for (const task of [0, 1]) {
    const test = { name: ['adds'], status: 'passed' as const, durationMs: 1 }
    reporter.started(task)
    reporter.live({ task, ...test })
    const tests = [{ ...test, file: 'a.js' }]
    reporter.reported(task, { file: 'a.js', outcome: 'passed', durationMs: 1, tests })
    reporter.flush()
  }
  reporter.close()
  assert.deepEqual(sent, ['started', 'live', 'reported', 'started', 'live', 'reported'])
})
