import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { DotReporter } from './dot.ts'
import { FakeClock, FakeTerminal } from './fixtures/fake-terminal.ts'
import { play } from './fixtures/play.ts'
import { finalRun, info, startMs, steps } from './fixtures/recorded-run.ts'
import { PlainReporter } from './plain.ts'

const golden = (name: string): string => join(import.meta.dirname, 'fixtures/golden', name)
const asIs = { serializers: [(value: unknown) => String(value)] }

describe('PlainReporter', () => {
  test('writes the recorded run as lines without control codes', async (t) => {
    const clock = new FakeClock(startMs)
    const terminal = new FakeTerminal(clock, 100)
    await play(new PlainReporter(terminal, clock), clock)
    // oxlint-disable-next-line no-control-regex
    assert.doesNotMatch(terminal.raw, /[\u001b\r]/)
    assert.equal(clock.timersPending, 0)
    t.assert.fileSnapshot(terminal.raw, golden('plain.txt'), asIs)
  })

  test('says what runs after 30 s of silence, and not before', () => {
    const clock = new FakeClock(startMs)
    const terminal = new FakeTerminal(clock, 100)
    const reporter = new PlainReporter(terminal, clock)
    reporter.start(info)
    for (const { atMs, message } of steps.filter((step) => step.atMs < 2350)) {
      clock.moveTo(startMs + atMs)
      reporter.message(message)
    }
    const before = terminal.raw.length
    clock.moveTo(startMs + 31_000)
    assert.equal(terminal.raw.slice(before), '')
    clock.moveTo(startMs + 63_000)
    const lines = terminal.raw.slice(before).trimEnd().split('\n')
    assert.equal(lines.length, 2)
    assert.match(lines[0]!, /^… after 32 s: 4\/12 files, running src\/net\/slow\.test\.ts \(32 s\), /)
    reporter.close()
    assert.equal(clock.timersPending, 0)
  })

  test('counts tests that came before the start of their file', () => {
    const clock = new FakeClock(startMs)
    const terminal = new FakeTerminal(clock, 100)
    const reporter = new PlainReporter(terminal, clock)
    reporter.start(info)
    const task = { task: 0, file: 'a.test.ts' } as const
    const seen = { type: 'test', ...task, status: 'passed', flaky: false, durationMs: 1, worker: 'w1' } as const
    reporter.message({ ...seen, name: ['one'] })
    const started = { ...task, worker: 'w1', workerName: 'w1', startedAtMs: startMs }
    reporter.message({ type: 'task-started', tasks: [started] })
    reporter.message({ ...seen, name: ['two'] })
    reporter.message({ type: 'task-ended', ...task, state: 'passed', final: true, durationMs: 2 })
    reporter.close()
    assert.equal(terminal.raw.trimEnd().split('\n').at(-1), '✓ a.test.ts (2 tests) 2 ms')
  })

  test('says of many files that never began, and for one reason, only the first few', () => {
    const clock = new FakeClock(startMs)
    const terminal = new FakeTerminal(clock, 100)
    const reporter = new PlainReporter(terminal, clock)
    reporter.start(info)
    const before = terminal.raw.length
    const lost = {
      type: 'task-ended',
      state: 'lost',
      final: true,
      durationMs: 0,
      why: 'no worker is connected',
    } as const
    for (let task = 0; task < 1000; task += 1) reporter.message({ ...lost, task, file: `${task}.test.ts` })
    const cancelled = { ...lost, state: 'cancelled', why: 'asked' }
    for (let task = 0; task < 1000; task += 1) reporter.message({ ...cancelled, task, file: `${task}.test.ts` })
    reporter.message({ ...lost, state: 'skipped', why: 'a.test.ts failed', task: 7, file: '7.test.ts' })
    reporter.close()
    const lines = terminal.raw.slice(before).trimEnd().split('\n')
    assert.equal(lines.length, 5, lines.join('\n'))
    assert.match(lines[2]!, /✗ 2\.test\.ts +lost: no worker is connected/)
    assert.equal(lines[3], '  … and more: no worker is connected')
    assert.equal(lines[4], '- 7.test.ts (not run: a.test.ts failed) 0 ms')
  })

  test('tells the place in the queue when it changes', () => {
    const clock = new FakeClock(startMs)
    const terminal = new FakeTerminal(clock, 100)
    const reporter = new PlainReporter(terminal, clock)
    reporter.start(info)
    const queued = {
      ...finalRun,
      state: 'queued',
      accounted: 0,
      running: 0,
      workers: [],
      expectedStartMs: 90_000,
    } as const
    for (const queuePosition of [3, 3, 2, 2, 1, 1])
      reporter.message({ type: 'run', run: { ...queued, queuePosition, reason: 'busy' } })
    // What it waits for has a time in it that changes with every message.
    for (const seconds of [1, 2, 3])
      reporter.message({
        type: 'run',
        run: { ...queued, queuePosition: 1, reason: `waits for lock 'db', held for ${seconds} s` },
      })
    reporter.message({
      type: 'run',
      run: { ...queued, queuePosition: 1, expectedStartMs: 0, reason: 'paused breakers' },
    })
    reporter.message({ type: 'run', run: { ...queued, reason: 'no worker has the label gpu=1' } })
    reporter.message({ type: 'run', run: { ...queued, state: 'paused', reason: "paused; 'muster resume' goes on" } })
    const lines = terminal.raw.trimEnd().split('\n').slice(1)
    assert.deepEqual(lines, [
      'waiting: number 3 in the queue, expected to start in 90 s (busy)',
      'waiting: number 2 in the queue, expected to start in 90 s (busy)',
      'waiting: next in the queue, expected to start in 90 s (busy)',
      "waiting: next in the queue, expected to start in 90 s (waits for lock 'db', held for 1 s)",
      'waiting: next in the queue, expected to start as soon as it can (paused breakers)',
      'waiting: no worker has the label gpu=1',
      `paused; 'muster resume ${finalRun.run}' goes on`,
    ])
    reporter.close()
  })
})

describe('DotReporter', () => {
  test('writes a character per test and the failures at the end', async (t) => {
    const clock = new FakeClock(startMs)
    const terminal = new FakeTerminal(clock, 40)
    await play(new DotReporter(terminal, clock), clock)
    t.assert.fileSnapshot(terminal.raw, golden('dot.txt'), asIs)
  })
})
