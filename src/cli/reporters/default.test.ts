import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { DefaultReporter, liveLines } from './default.ts'
import { FakeClock, FakeTerminal, widest } from './fixtures/fake-terminal.ts'
import { play } from './fixtures/play.ts'
import { info, startMs, steps } from './fixtures/recorded-run.ts'
import { Progress } from './progress.ts'

const golden = (name: string): string => join(import.meta.dirname, 'fixtures/golden', name)
const asIs = { serializers: [(value: unknown) => String(value)] }

describe('DefaultReporter', () => {
  for (const columns of [40, 80, 200]) {
    test(`shows the recorded run at ${columns} columns`, async (t) => {
      const clock = new FakeClock(startMs)
      const terminal = new FakeTerminal(clock, columns)
      const seen: string[] = []
      const look = (): void => void seen.push(terminal.screen())
      await play(new DefaultReporter(terminal, clock), clock, { 200: look, 1500: look, 3450: look, 5900: look })
      seen.push(terminal.screen())
      t.assert.fileSnapshot(seen.join('\n════\n'), golden(`default-${columns}.txt`), asIs)
    })
  }

  test('draws no live line wider than the terminal, nor more lines than it has', () => {
    for (const columns of [20, 33, 40, 57, 80, 200]) {
      for (const rows of [3, 6, 40]) {
        const clock = new FakeClock(startMs)
        const terminal = new FakeTerminal(clock, columns, { colours: true, rows })
        const progress = new Progress(clock)
        for (const { atMs, message } of steps) {
          clock.moveTo(startMs + atMs)
          progress.apply(message)
          const lines = liveLines(progress, clock.now(), terminal)
          assert.ok(widest(lines.join('\n')) < columns, `${columns}: ${lines.join('|')}`)
          assert.ok(lines.length < rows)
        }
      }
    }
  })

  test('redraws at most ten times a second, and not when nothing changed', async () => {
    const clock = new FakeClock(startMs)
    const terminal = new FakeTerminal(clock, 80)
    const reporter = new DefaultReporter(terminal, clock)
    reporter.start(info)
    const { message } = steps.find((step) => step.message.type === 'run' && step.message.run.running > 0)!
    clock.moveTo(startMs + 3000)
    const before = terminal.writes.length
    for (let at = 1; at <= 2000; at += 1) {
      clock.moveTo(startMs + 3000 + at)
      const run = (message as Extract<typeof message, { type: 'run' }>).run
      reporter.message({ type: 'run', run: { ...run, tests: { ...run.tests, passed: at, total: at + 2 } } })
    }
    assert.ok(terminal.writes.length - before <= 21, `${terminal.writes.length - before} writes in 2 s`)
    clock.moveTo(startMs + 5200)
    const still = terminal.writes.length
    for (let at = 0; at < 100; at += 1) reporter.message(message)
    clock.moveTo(startMs + 5400)
    const drawn = terminal.writes.length
    for (let at = 0; at < 700; at += 1) {
      reporter.message(message)
      clock.moveTo(startMs + 5400 + at / 10)
    }
    assert.ok(drawn - still <= 2)
    assert.equal(terminal.writes.length, drawn)
    reporter.close()
  })

  test('gives back the cursor, timers and listeners when it is closed in the middle', () => {
    const clock = new FakeClock(startMs)
    const terminal = new FakeTerminal(clock, 80)
    const reporter = new DefaultReporter(terminal, clock)
    reporter.start(info)
    for (const { atMs, message } of steps.slice(0, 20)) {
      clock.moveTo(startMs + atMs)
      reporter.message(message)
    }
    reporter.close()
    reporter.close()
    assert.equal(clock.timersPending, 0)
    assert.equal(terminal.listeners, 0)
    assert.ok(terminal.raw.endsWith('\u001b[?25h'))
    assert.doesNotMatch(terminal.screen(), /about .* left/)
  })

  test('takes wrapped lines into account after the terminal became narrower', () => {
    const clock = new FakeClock(startMs)
    const terminal = new FakeTerminal(clock, 100)
    const reporter = new DefaultReporter(terminal, clock)
    reporter.start(info)
    for (const { atMs, message } of steps.filter((step) => step.atMs < 1500)) {
      clock.moveTo(startMs + atMs)
      reporter.message(message)
    }
    clock.moveTo(startMs + 1700)
    const rows = terminal
      .screen()
      .split('\n')
      .filter((line) => /\d\/\d+ files|^ {4}src\//.test(line))
    const wrapped = rows.reduce((sum, row) => sum + Math.ceil(widest(row) / 30), 0)
    terminal.resize(30)
    clock.moveTo(startMs + 1900)
    assert.match(terminal.writes.at(-1)!.text, new RegExp(`\u001b\\[${wrapped}A`))
    reporter.close()
  })
})
