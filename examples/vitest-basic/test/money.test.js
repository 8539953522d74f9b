import { describe, expect, it } from 'vitest'
import { formatMoney, parseMoney, roundHalfEven, splitMoney } from '../src/money.js'

describe('parseMoney', () => {
  it.each([
    ['0', 0],
    ['12', 1200],
    ['12.3', 1230],
    ['12.34', 1234],
    ['-0.05', -5],
  ])('reads %s as %i cents', (text, cents) => {
    expect(parseMoney(text)).toBe(cents)
  })

  it('says what it expected', () => {
    expect(() => parseMoney('twelve')).toThrow("expected 12.34, received 'twelve'")
  })
})

describe('formatMoney', () => {
  it('is the inverse of parseMoney', () => {
    for (const cents of [-1234, -5, 0, 7, 100, 99_999]) expect(parseMoney(formatMoney(cents))).toBe(cents)
  })
})

describe('roundHalfEven', () => {
  it.each([
    [0.5, 0],
    [1.5, 2],
    [2.5, 2],
    [-0.5, 0],
    [2.6, 3],
  ])('rounds %f to %i', (value, rounded) => {
    expect(roundHalfEven(value)).toBeCloseTo(rounded)
  })
})

describe('splitMoney', () => {
  it('loses no cent', () => {
    expect(splitMoney(100, 3)).toEqual([34, 33, 33])
    for (let parts = 1; parts <= 50; parts++) {
      expect(splitMoney(9_999, parts).reduce((sum, part) => sum + part, 0)).toBe(9_999)
    }
  })
})
