/**
 * Per-test results from the blobs that `task.reported` events name: zstd-compressed JSON lines, one
 * TaskResult each. What is absent or unreadable is said so and never stops the projection.
 */
import { zstdDecompressSync } from 'node:zlib'
import type { Blobs } from '../blobs/blobs.ts'
import type { EntryBody } from '../core/events.ts'
import type { TaskResult } from '../protocol/results.ts'
import type { Results } from './projection.ts'

const readsAtOnce = 8
const textBytesMax = 256 * 1024 * 1024

export async function readResults(bodies: readonly EntryBody[], blobs: Blobs): Promise<Results> {
  const keys = new Set<string>()
  for (const body of bodies) {
    for (const event of body.events)
      if (event.type === 'task.reported' && event.results !== undefined) keys.add(event.results)
  }
  const results = new Map<string, readonly TaskResult[] | { readonly missing: string }>()
  const waiting = [...keys]
  const read = async () => {
    for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) results.set(key, await readOne(key, blobs))
  }
  await Promise.all(Array.from({ length: readsAtOnce }, read))
  return results
}

async function readOne(key: string, blobs: Blobs): Promise<readonly TaskResult[] | { readonly missing: string }> {
  try {
    const bytes = await blobs.get(key)
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
