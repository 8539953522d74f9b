import assert from 'node:assert/strict'
import { describe, test as it } from 'node:test'
import { digestRecords } from './digest.ts'
import { records, run } from './fixtures/records.ts'
import { markdownSummary } from './markdown.ts'

describe('markdownSummary', () => {
  it('keeps what tests wrote inside its fence and its summary line', async () => {
    const text = markdownSummary(run, await digestRecords(records), 1024 * 1024)
    assert.match(text, /\n``````text\n[^]*?`````\n[^]*?\n``````\n/)
    assert.match(text, /<summary>a\.test\.ts › \[chromium\] › \\u001b\[31mred\\u001b\[39m .*&lt;b&gt;&amp;/)
    // oxlint-disable-next-line no-control-regex
    assert.doesNotMatch(text, /\u001b/)
    assert.match(text, /\*\*1 lost, 1 timed out, 1 cancelled\*\*/)
  })

  it('is loud when planned and accounted differ', async () => {
    const text = markdownSummary({ ...run, accounted: 8 }, await digestRecords(records), 10_000)
    assert.match(text, /PLANNED 9 FILES BUT 8 ACCOUNTED FOR/)
  })

  it('stays within any size', async () => {
    const digest = await digestRecords(records)
    for (const bytesMax of [0, 500, 900, 1500, 3000]) {
      const text = markdownSummary(run, digest, bytesMax)
      assert.ok(Buffer.byteLength(text) <= bytesMax, `${bytesMax}`)
      if (bytesMax === 1500) assert.match(text, /more that don't fit here/)
    }
  })

  it('writes out line ends in names of files and tests', async () => {
    const digest = await digestRecords(records)
    const odd = { file: 'a\nb.test.ts', name: ['c\r\n- d'] }
    const more = { flaky: [{ ...odd, failedTries: 1 }], slowest: [{ file: odd.file, durationMs: 5 }] }
    const failures = [{ ...odd, attempt: 1, errors: [{ message: 'no' }] }]
    const text = markdownSummary(run, { ...digest, ...more, failures }, 10_000)
    assert.match(text, /<summary>a\\nb\.test\.ts › c\\r\\n- d: no</)
    assert.match(text, /<code>a\\nb\.test\.ts › c\\r\\n- d<\/code>: passed after 1/)
    assert.match(text, /<code>a\\nb\.test\.ts<\/code>: 5 ms/)
  })
})
