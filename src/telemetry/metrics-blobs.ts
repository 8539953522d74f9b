/**
 * What is asked of the blob store, and how it does: a blob store in front of another that counts. What
 * workers and clients bring goes through it; history reads for itself, in its own process.
 */
import client from 'prom-client'
import type { Blobs } from '../blobs/blobs.ts'
import { isMusterError } from '../protocol/errors.ts'

export function watchedBlobs(registry: client.Registry): (blobs: Blobs) => Blobs {
  const durations = new client.Histogram({
    name: 'muster_blob_operation_duration_seconds',
    help: 'Operations of the blob store. Outcome error: the store failed; refused: the request was wrong.',
    labelNames: ['operation', 'outcome'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  })
  for (const operation of ['put', 'get', 'has', 'missing', 'remove']) {
    for (const outcome of ['ok', 'error']) durations.zero({ operation, outcome })
  }
  const bytes = new client.Counter({
    name: 'muster_blob_bytes_total',
    help: 'Bytes written to and read from the blob store.',
    labelNames: ['operation'],
    registers: [registry],
  })

  async function timed<T>(operation: string, work: () => Promise<T>): Promise<T> {
    const done = durations.startTimer({ operation })
    try {
      const result = await work()
      done({ outcome: 'ok' })
      return result
    } catch (error) {
      done({ outcome: isMusterError(error) && error.code === 'request_invalid' ? 'refused' : 'error' })
      throw error
    }
  }

  async function* counted(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      bytes.inc({ operation: 'put' }, chunk.length)
      yield chunk
    }
  }

  return (inner) => ({
    async put(content) {
      const key = await timed('put', () => inner.put(content))
      bytes.inc({ operation: 'put' }, content.length)
      return key
    },
    putStream: (key, source, maxBytes) => timed('put', () => inner.putStream(key, counted(source), maxBytes)),
    async get(key) {
      const content = await timed('get', () => inner.get(key))
      if (content) bytes.inc({ operation: 'get' }, content.length)
      return content
    },
    has: (key) => timed('has', () => inner.has(key)),
    missing: (keys) => timed('missing', () => inner.missing(keys)),
    remove: (key) => timed('remove', () => inner.remove(key)),
    removeUnused: (keys, sinceMs) => timed('remove', () => inner.removeUnused(keys, sinceMs)),
    list: () => inner.list(),
    ...(inner.check === undefined ? {} : { check: () => timed('check', () => inner.check!()) }),
  })
}
