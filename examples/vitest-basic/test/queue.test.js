import { describe, expect, it } from 'vitest'
import { setTimeout as delay } from 'node:timers/promises'
import { runLimited } from '../src/queue.js'

describe('runLimited', () => {
  it('keeps the order of the jobs', async () => {
    const jobs = [30, 10, 20].map((ms) => () => delay(ms, ms))
    expect(await runLimited(jobs, 3)).toEqual([30, 10, 20])
  })

  it.each([1, 2, 5])('runs at most %i at once', async (limit) => {
    let running = 0
    let most = 0
    const job = async () => {
      most = Math.max(most, ++running)
      await delay(5)
      running--
    }
    await runLimited(
      Array.from({ length: 12 }, () => job),
      limit,
    )
    expect(most).toBe(limit)
  })

  it('has nothing to do without jobs', async () => {
    expect(await runLimited([], 4)).toEqual([])
  })
})
