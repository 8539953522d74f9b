/**
 * Content-addressed bytes: workspace files, per-test results, captured output. The key is the
 * lower-case hex SHA-256 of the content, so a put may be repeated and a get can be verified.
 */
export interface Blobs {
  /** Durable when it resolves (file and directory synced). Returns the key. */
  put(bytes: Uint8Array): Promise<string>
  /** As put, from a stream, verified against `key`; refuses (MusterError request_invalid) other content and anything over maxBytes. */
  putStream(key: string, source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<void>
  /** Undefined when absent. Throws when the content no longer matches its key (and drops it). */
  get(key: string): Promise<Uint8Array | undefined>
  has(key: string): Promise<boolean>
  /** Which of the keys are absent. */
  missing(keys: readonly string[]): Promise<string[]>
  remove(key: string): Promise<void>
  /**
   * Removes those whose last use is before `sinceMs`, looked at again right before; returns how many. One that is
   * used at that moment stays, or is absent for whoever asks from then on.
   */
  removeUnused(keys: readonly string[], sinceMs: number): Promise<number>
  /** Every key with its size and last use (ms since the epoch, late by up to a day), for garbage collection. */
  list(): AsyncIterable<{ readonly key: string; readonly bytes: number; readonly usedAtMs: number }>
  /** Whether it works now, by a small write: undefined, or the problem and what to do, in words. Takes seconds at most. */
  check?(): Promise<string | undefined>
}
