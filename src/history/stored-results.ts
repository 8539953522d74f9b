/**
 * Per-test results from the blobs that `task.reported` events name: zstd-compressed JSON lines, one
 * TaskResult each. What is absent or unreadable is said so and never stops the projection. A store that
 * is away is waited for, but not for ever: meanwhile the log is kept, and entries wait.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { zstdDecompressSync } from 'node:zlib'
import type { Blobs } from '../blobs/blobs.ts'
import type { EntryBody } from '../core/events.ts'
import { isMusterError } from '../protocol/errors.ts'
import type { TaskResult } from '../protocol/results.ts'
import type { Results } from './projection.ts'

const readsAtOnce = 8
const textBytesMax = 256 * 1024 * 1024
const patienceMs = 60_000
const againMs = 500

/** `storePatienceMs`: for a store that is away, over all blobs together. */
export async function readResults(
  bodies: readonly EntryBody[],
  blobs: Blobs,
  storePatienceMs = patienceMs,
): Promise<Results> {
  const deadlineMs = performance.now() + storePatienceMs
  const keys = new Set<string>()
  for (const body of bodies) {
    for (const event of body.events)
      if (event.type === 'task.reported' && event.results !== undefined) keys.add(event.results)
  }
  const results = new Map<string, readonly TaskResult[] | { readonly missing: string }>()
  const waiting = [...keys]
  const read = async () => {
    for (let key = waiting.pop(); key !== undefined; key = waiting.pop())
      results.set(key, await readOne(key, blobs, deadlineMs))
  }
  await Promise.all(Array.from({ length: readsAtOnce }, read))
  return results
}

async function readOne(
  key: string,
  blobs: Blobs,
  deadlineMs: number,
): Promise<readonly TaskResult[] | { readonly missing: string }> {
  try {
    const bytes = await getPatiently(key, blobs, deadlineMs)
    if (bytes === undefined) return { missing: 'no such blob' }
    const text = zstdDecompressSync(bytes, { maxOutputLength: textBytesMax }).toString('utf8')
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as TaskResult)
  } catch (error) {
    return { missing: error instanceof Error ? error.message : String(error) }
  }
}

/** One that was damaged was dropped at the first try, so it is absent at the second. */
async function getPatiently(key: string, blobs: Blobs, deadlineMs: number): Promise<Uint8Array | undefined> {
  for (;;) {
    try {
      return await blobs.get(key)
    } catch (error) {
      const isAway = isMusterError(error) && error.code === 'unavailable'
      if (!isAway || performance.now() + againMs > deadlineMs) throw error
      await sleep(againMs)
    }
  }
}
