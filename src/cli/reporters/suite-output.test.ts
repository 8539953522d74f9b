import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isMusterError } from '../../protocol/errors.ts'
import { info } from './fixtures/recorded-run.ts'
import { fileOf, suiteReporters } from './suite-output.ts'

class Sink {
  text = ''
  readonly columns = 80
  readonly isTTY = true

  write(text: string): void {
    this.text += text
  }
}

const surroundings = () => ({ env: { NO_COLOR: '1' }, cwd: '/', stdout: new Sink(), stderr: new Sink() })

describe('suiteReporters', () => {
  test('writes whole lines, each behind the name of its suite', async () => {
    const around = surroundings()
    const [unit, end] = suiteReporters(['plain'], around, ['unit', 'end-to-end'])
    await end!.reporters[0]!.start?.({ ...info, suite: 'end-to-end' })
    unit!.reporters[0]!.message({ type: 'notice', level: 'info', text: 'first\n\nthird' })
    for (const one of [unit!, end!]) {
      await one.reporters[0]!.close?.()
      one.flush()
    }
    const lines = around.stderr.text.split('\n')
    assert.match(lines[0]!, /^end-to-end │ muster · /)
    assert.match(lines[1]!, /^end-to-end │   predicted 9 s/)
    assert.deepEqual(lines.slice(2), ['unit       │ i first', 'unit       │', 'unit       │ third', ''])
  })

  test('gives each suite a file of its own, and refuses two in one', () => {
    const around = { ...surroundings(), junit: 'out/r.xml', ctrf: '{suite}/ctrf.json' }
    const outputs = suiteReporters(['json=all.json'], around, ['unit', 'end to end'])
    assert.deepEqual(
      outputs.map((one) => one.files),
      [
        ['all.unit.json', 'out/r.unit.xml', 'unit/ctrf.json'],
        ['all.end-to-end.json', 'out/r.end-to-end.xml', 'end-to-end/ctrf.json'],
      ],
    )
    const usage = (error: unknown) => isMusterError(error) && error.code === 'usage'
    assert.throws(() => suiteReporters([], around, ['a b', 'a/b']), usage)
    for (const asked of ['junit', 'junit=-', 'nope'])
      assert.throws(() => suiteReporters([asked], surroundings(), ['a', 'b']), usage, asked)
  })

  test('fileOf puts the name before the extension', () => {
    assert.equal(fileOf('report.xml', 'unit'), 'report.unit.xml')
    assert.equal(fileOf('a.b/report', 'unit'), 'a.b/report.unit')
    assert.equal(fileOf('.report', 'unit'), '.report.unit')
    assert.equal(fileOf('a/.report', 'unit'), 'a/.report.unit')
    assert.equal(fileOf('{suite}/{suite}.xml', 'größe é'), 'größe-é/größe-é.xml')
  })
})
