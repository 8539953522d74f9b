import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseClock, parseDate, parseInstant } from './instant.ts'

test('parseInstant: a time with its zone, on a day that there is', () => {
  assert.equal(parseInstant('2026-11-22T14:00:00Z'), Date.UTC(2026, 10, 22, 14))
  assert.equal(parseInstant('2026-11-22T14:00+02:00'), Date.UTC(2026, 10, 22, 12))
  assert.equal(parseInstant('2024-02-29T00:00:00.5Z'), Date.UTC(2024, 1, 29) + 500)
  const wrong = [
    '5',
    '',
    '2026-11-22',
    '2026-11-22T14:00',
    '2026-02-30T10:00:00Z',
    '2026-13-01T10:00:00Z',
    '2023-02-29T00:00Z',
  ]
  for (const text of [...wrong, '2026-11-22T25:00:00Z', '2026-11-22T14:60:00Z', '0000-00-00T00:00Z', 'yesterday'])
    assert.equal(parseInstant(text), undefined, text)
})

test('parseClock: the next or the last time that it is so here, also over the end of a month', () => {
  const now = new Date(2026, 0, 31, 14, 0, 30)
  const at = (text: string, which: 'next' | 'last') => {
    const ms = parseClock(text, now, which)
    return ms === undefined ? undefined : new Date(ms).toString()
  }
  assert.equal(at('14:00', 'last'), new Date(2026, 0, 31, 14).toString())
  assert.equal(at('14:00', 'next'), new Date(2026, 1, 1, 14).toString())
  assert.equal(at('7:05', 'next'), new Date(2026, 1, 1, 7, 5).toString())
  assert.equal(at('23:59', 'last'), new Date(2026, 0, 30, 23, 59).toString())
  for (const text of ['24:00', '7:5', '14', '14:00:00', '-1:00']) assert.equal(at(text, 'next'), undefined, text)
})

test('parseDate: midnight here of a day that there is', () => {
  assert.equal(parseDate('2026-11-22'), new Date(2026, 10, 22).getTime())
  for (const text of ['2026-02-30', '2026-1-1', '2026-11-22T00:00', '5']) assert.equal(parseDate(text), undefined, text)
})
