import assert from 'node:assert/strict'
import { test } from 'node:test'
import { longestChainMs } from './chain.ts'

const of = (pairs: readonly (readonly [number, number])[], durations: readonly (number | undefined)[]): number => {
  const after = new Map<number, number[]>()
  for (const [before, piece] of pairs) after.set(before, [...(after.get(before) ?? []), piece])
  return longestChainMs(after, (piece) => durations[piece])
}

test('longestChainMs: the longest way through what comes after each other', () => {
  assert.equal(of([], [1]), 0)
  assert.equal(
    of(
      [
        [0, 1],
        [1, 2],
      ],
      [1, 2, 4, 100],
    ),
    7,
  )
  const diamond = [
    [3, 1],
    [3, 2],
    [1, 0],
    [2, 0],
  ] as const
  assert.equal(of(diamond, [1, 10, 20, 100]), 121)
  assert.equal(of(diamond, [1, 10, 20, undefined]), 21, 'what has begun does not count')
  assert.equal(of(diamond, [1, 10, undefined, 100]), 111)
  const many = 100_000
  const chain = Array.from({ length: many }, (_, at) => [at, at + 1] as const)
  assert.equal(
    of(
      chain,
      Array.from({ length: many + 1 }, () => 1),
    ),
    many + 1,
  )
  assert.equal(
    of(
      [
        [0, 1],
        [1, 0],
      ],
      [1, 1],
    ),
    0,
  )
})
