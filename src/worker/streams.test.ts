import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseDriverEvent } from './driver-events.ts'
import { LineSplitter } from './line-splitter.ts'
import { OutputCapture } from './output-capture.ts'

function split(chunks: readonly (string | Buffer)[], lineBytesMax?: number): { lines: string[]; dropped: number } {
  const lines: string[] = []
  const splitter = new LineSplitter((line) => lines.push(line), lineBytesMax)
  for (const chunk of chunks) splitter.push(Buffer.from(chunk as string))
  splitter.end()
  return { lines, dropped: splitter.dropped }
}

describe('LineSplitter', () => {
  it('gives the same lines however the bytes are cut', () => {
    const text = 'one\n\nzwei ü\r\n三\nlast'
    const bytes = Buffer.from(text)
    const expected = ['one', '', 'zwei ü', '三', 'last']
    for (let at = 0; at <= bytes.length; at += 1) {
      assert.deepEqual(split([bytes.subarray(0, at), bytes.subarray(at)]).lines, expected, `cut at ${at}`)
    }
    assert.deepEqual(split(Array.from(bytes, (byte) => Buffer.of(byte))).lines, expected)
  })

  it('drops a line that is too long, and only that', () => {
    assert.deepEqual(split(['ok\n', 'x'.repeat(6), 'x'.repeat(6), 'tail\nnext\n'], 10), {
      lines: ['ok', 'next'],
      dropped: 1,
    })
  })
})

describe('OutputCapture', () => {
  it('keeps many small writes as they came', () => {
    const capture = new OutputCapture(() => {})
    let text = ''
    for (let index = 0; index < 20_000; index += 1) {
      capture.write(`${index}ü\n`)
      text += `${index}ü\n`
    }
    capture.flush()
    assert.equal(capture.text(), text)
    assert.equal(capture.lastLines(2), '19998ü\n19999ü')
  })

  it('shows live what fits and says how much did not', () => {
    const shown: string[] = []
    const capture = new OutputCapture((text) => shown.push(text))
    capture.write('first\n')
    capture.write('x'.repeat(100_000))
    capture.flush()
    capture.write('second\n')
    capture.flush()
    assert.deepEqual(shown, ['first\n\n… 100000 bytes not shown live …\n', 'second\n'])
  })
})

describe('parseDriverEvent', () => {
  it('takes events and nothing else', () => {
    assert.deepEqual(parseDriverEvent('{"type":"end"}'), { type: 'end' })
    const wrong = [
      '',
      'text',
      '{}',
      '[]',
      'null',
      '{"type":"toString"}',
      '{"type":"file-start"}',
      '{"type":"file-end","file":"a"}',
    ]
    const badTests = [
      '{"type":"test","test":{"file":"a","name":["x"],"status":"odd","durationMs":1}}',
      '{"type":"test","test":null}',
    ]
    for (const line of [...wrong, ...badTests]) assert.equal(parseDriverEvent(line), undefined, line)
  })
})
