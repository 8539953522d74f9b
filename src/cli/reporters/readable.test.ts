import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FeedMessage } from '../../protocol/run-view.ts'
import { DefaultReporter } from './default.ts'
import { DotReporter } from './dot.ts'
import { FakeClock, FakeTerminal } from './fixtures/fake-terminal.ts'
import { finalRun, info, startMs } from './fixtures/recorded-run.ts'
import { GithubReporter } from './github.ts'
import { PlainReporter } from './plain.ts'
import type { Reporter, RunSummary } from './reporter.ts'

const file = 'tests/one\nFAKE ✓ line\u0007.test.ts'
const shown = 'tests/one\\nFAKE ✓ line\\u0007.test.ts'
const testName = ['breaks\r\nFAKE ✗ two', 'of\u001b[2J it']
const testShown = 'breaks\\r\\nFAKE ✗ two › of\\u001b[2J it'
const workers = ['a', 'b'].map((worker) => ({ ...finalRun.workers[0]!, worker, name: `${worker}\u0007\nFAKE ✓` }))
const run = { ...finalRun, workers, reason: 'busy: a\u0007\nFAKE ✓' }
const messages: readonly FeedMessage[] = [
  { type: 'task-started', tasks: [{ task: 0, file, worker: 'w', workerName: 'w\u0007', startedAtMs: startMs }] },
  { type: 'run', run },
  { type: 'task-ended', task: 0, file, worker: 'b', state: 'passed', final: true, durationMs: 5 },
  { type: 'task-ended', task: 1, file, state: 'lost', final: true, durationMs: 5, why: 'gone' },
]
const summary: RunSummary = {
  run,
  exitCode: 1,
  failures: [{ file, name: testName, attempt: 1, errors: [{ message: 'no' }] }],
  flaky: [{ file, name: ['wavers', ...testName], failedTries: 1 }],
  slowest: [{ file, durationMs: 5 }],
  unfinished: [{ file, state: 'lost', why: 'gone' }],
  notRun: [{ file, why: 'x' }],
  async *records() {},
}

const reporters: Readonly<Record<string, (terminal: FakeTerminal, clock: FakeClock) => Reporter>> = {
  default: (terminal, clock) => new DefaultReporter(terminal, clock),
  plain: (terminal, clock) => new PlainReporter(terminal, clock),
  dot: (terminal, clock) => new DotReporter(terminal, clock),
  github: (terminal, clock) => new GithubReporter(terminal, clock, {}, '/'),
}

describe('a name with a line end, of a file or a test', () => {
  for (const [name, open] of Object.entries(reporters)) {
    test(`is written out by ${name}`, async () => {
      const clock = new FakeClock(startMs)
      const terminal = new FakeTerminal(clock, 120)
      const reporter = open(terminal, clock)
      await reporter.start?.(info)
      for (const message of messages) reporter.message(message)
      await reporter.finish(summary)
      await reporter.close?.()
      // An annotation names the file as it is; GitHub takes it apart.
      const text = terminal.raw.replaceAll(/^::error .*$/gm, '')
      assert.ok(text.includes(shown))
      assert.ok(text.includes(`› ${testShown}`), text)
      assert.ok(text.includes(`› wavers › ${testShown}`), text)
      assert.ok(!/[\r\n]FAKE/.test(text) && !text.includes('\u001b[2J it') && !text.includes('\u0007'))
    })
  }
})
