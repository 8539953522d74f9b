import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test as it } from 'node:test'
import { digestRecords } from './digest.ts'
import { records, run, written } from './fixtures/records.ts'
import { jsonReport, writeJson } from './json.ts'

describe('writeJson', () => {
  it('prints one object with every field, null where there is no value', async () => {
    const { wallMs: _wall, lowerBoundMs: _bound, optimumRatio: _ratio, verdict: _verdict, ...unfinished } = run
    const text = await written(async (sink) => writeJson(unfinished, 3, await digestRecords(records), sink))
    const report = JSON.parse(text) as Record<string, unknown>
    assert.deepEqual(
      [report['verdict'], report['wallMs'], report['lowerBoundMs'], report['optimumRatio']],
      [null, null, null, null],
    )
    const whole = jsonReport(run, 3, await digestRecords(records))
    assert.deepEqual(Object.keys(report), Object.keys(whole))
    assert.equal(whole.exitCode, 3)
    assert.deepEqual(
      whole.failures.map((one) => one.errors[0]?.type),
      ['AssertionError', 'AssertionError', undefined, 'SyntaxError', 'lost', 'timed-out'],
    )
  })

  it('is documented field by field, and nothing else is documented', async () => {
    const page = await readFile(join(import.meta.dirname, '../../docs/reference/json.md'), 'utf8')
    const table = page.slice(page.indexOf('## Fields'), page.indexOf('## '.concat('Objects')))
    const documented = Array.from(table.matchAll(/^\| `(\w+)`/gm), (row) => row[1])
    assert.deepEqual(documented, Object.keys(jsonReport(run, 0, await digestRecords(records))))
  })
})
