/**
 * Blobs in an S3-compatible store: one object per blob, named prefix + key. The store is told the
 * SHA-256 of what it gets and checks it; what comes back is checked here. Needs nothing that only some
 * stores have: no conditional put (a second put of the same content is harmless), no tags, no versions.
 *
 * S3 has no last use, only the time of the last write. So whoever finds a blob that was written longer
 * ago than `renewAfterMs` copies it onto itself: `usedAtMs` lags by at most that, and a collector that
 * spares blobs used within days never takes one that somebody was just told is there.
 *
 * Leaves out a memory of which keys are there: it would be wrong after another coordinator drops one.
 * Unfinished multipart uploads of a process that died are left to a lifecycle rule of the bucket.
 */
import { createHash } from 'node:crypto'
import { isMusterError, MusterError } from '../protocol/errors.ts'
import type { Blobs } from './blobs.ts'
import { damaged, isKey, refuseWrongKey } from './keys.ts'
import { putInParts } from './s3-parts.ts'
import { defaultPatience, S3Requests, sha256 } from './s3-requests.ts'
import type { S3Patience } from './s3-requests.ts'
import type { S3Answer, S3Store } from './s3-store.ts'
import { parseListPage, parseXml, textOf } from './s3-xml.ts'

export type S3BlobsOptions = S3Patience & {
  /** A blob written longer ago is written again when it is used. Default 24 hours. */
  readonly renewAfterMs: number
  /** A longer stream is sent in parts of this size; at least 5 MiB. Default 8 MiB. */
  readonly partBytes: number
}

const dayMs = 24 * 3_600_000
/** Up to here a put is cheaper than asking whether it is needed. */
const putAtOnceBytesMax = 128 * 1024
/** The most that S3 copies in one request. */
const copyBytesMax = 5 * 1024 ** 3
/** Few, so that between the last look at a blob and its removal there is not much time. */
const removedAtOnce = 50
const checkName = 'muster-check'
const checkPatience: S3Patience = { timeoutMs: 3000, attempts: 2, pauseMs: 100 }

type Found = { readonly bytes: number; readonly modifiedAtMs: number }

export class S3Blobs implements Blobs {
  readonly #requests: S3Requests
  readonly #options: S3BlobsOptions
  /** Puts under way, so that the same content is sent once however many ask. */
  readonly #putting = new Map<string, Promise<void>>()

  constructor(store: S3Store, options: Partial<S3BlobsOptions> = {}) {
    this.#options = { ...defaultPatience, renewAfterMs: dayMs, partBytes: 8 * 1024 * 1024, ...options }
    this.#requests = new S3Requests(store, this.#options)
  }

  async put(bytes: Uint8Array): Promise<string> {
    const key = sha256(bytes)
    let putting = this.#putting.get(key)
    if (putting === undefined) {
      putting = this.#put(key, bytes).finally(() => this.#putting.delete(key))
      this.#putting.set(key, putting)
    }
    await putting
    return key
  }

  async putStream(key: string, source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<void> {
    const name = this.#name(key)
    await putInParts(this.#requests, {
      key,
      name,
      source,
      maxBytes,
      // S3 takes 10 000 parts at most.
      partBytes: Math.max(this.#options.partBytes, Math.ceil(maxBytes / 9000)),
      putWhole: (bytes) => this.put(bytes).then(() => {}),
      isThere: () => this.has(key),
    })
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const name = this.#name(key)
    let actual = ''
    // Twice, because the content may have been damaged on the way rather than where it lies.
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      const answer = await this.#requests.send({ method: 'GET', name })
      if (answer === undefined) return undefined
      actual = sha256(answer.body)
      if (actual === key) {
        await this.#renew(key, foundIn(answer.headers))
        return answer.body
      }
    }
    await this.remove(key)
    throw damaged(key, actual, "the store's disks")
  }

  async has(key: string): Promise<boolean> {
    const found = await this.#find(key)
    return found !== undefined && (await this.#renew(key, found))
  }

  async missing(keys: readonly string[]): Promise<string[]> {
    const different = [...new Set(keys)]
    const found = await Promise.all(different.map((key) => this.has(key)))
    const absent = new Set(different.filter((_, i) => !found[i]))
    return keys.filter((key) => absent.has(key))
  }

  async remove(key: string): Promise<void> {
    await this.#requests.send({ method: 'DELETE', name: this.#name(key) })
  }

  async removeUnused(keys: readonly string[], sinceMs: number): Promise<number> {
    let removed = 0
    for (let from = 0; from < keys.length; from += removedAtOnce) {
      const portion = keys.slice(from, from + removedAtOnce)
      const found = await Promise.all(portion.map((key) => this.#find(key)))
      const unused = portion.filter((_, i) => found[i] !== undefined && found[i].modifiedAtMs < sinceMs)
      if (unused.length > 0) await this.#removeTogether(unused)
      removed += unused.length
    }
    return removed
  }

  async *list(): AsyncIterable<{ readonly key: string; readonly bytes: number; readonly usedAtMs: number }> {
    const { prefix } = this.#requests.store
    for (let token: string | undefined = ''; token !== undefined;) {
      const query = { 'list-type': '2', prefix, ...(token === '' ? {} : { 'continuation-token': token }) }
      const answer = await this.#requests.send({ method: 'GET', name: '', query })
      const page = answer && parseListPage(Buffer.from(answer.body).toString())
      if (page === undefined) throw this.#notUnderstood('a list')
      for (const { name, bytes, modifiedAtMs } of page.objects) {
        const key = name.slice(prefix.length)
        if (isKey(key)) yield { key, bytes, usedAtMs: modifiedAtMs }
      }
      token = page.next
    }
  }

  /** Writes and reads a small object, so that a key that may only read is found too. */
  async check(): Promise<string | undefined> {
    const name = this.#requests.store.prefix + checkName
    try {
      await this.#requests.send({ method: 'PUT', name, body: Buffer.from('muster') }, checkPatience)
      const answer = await this.#requests.send({ method: 'HEAD', name }, checkPatience)
      return answer === undefined ? 'what was just written to the blob store is not there' : undefined
    } catch (error) {
      if (!isMusterError(error)) throw error
      return error.hint === undefined ? error.message : `${error.message}. ${error.hint}`
    }
  }

  async #put(key: string, bytes: Uint8Array): Promise<void> {
    if (bytes.length > putAtOnceBytesMax) {
      const found = await this.#find(key)
      // Another length is a damaged blob: the good content replaces it.
      if (found?.bytes === bytes.length && (await this.#renew(key, found))) return
    }
    if (bytes.length > 4 * this.#options.partBytes) {
      await this.putStream(key, piecesOf(bytes, this.#options.partBytes), bytes.length)
      return
    }
    const answer = await this.#requests.send({ method: 'PUT', name: this.#name(key), body: bytes, sha256: key })
    if (answer === undefined) throw this.#notUnderstood('a put')
  }

  async #find(key: string): Promise<Found | undefined> {
    const answer = await this.#requests.send({ method: 'HEAD', name: this.#name(key) })
    return answer && foundIn(answer.headers)
  }

  /** Being looked for is a use. False when it was collected meanwhile, or can't be renewed. */
  async #renew(key: string, { bytes, modifiedAtMs }: Found): Promise<boolean> {
    if (Date.now() - modifiedAtMs < this.#options.renewAfterMs) return true
    // Whoever is told that it is absent puts it again, which renews it too.
    if (bytes > copyBytesMax) return false
    const name = this.#name(key)
    const headers = {
      'x-amz-copy-source': `/${this.#requests.store.bucket}/${name}`,
      // Without it the store refuses to copy an object onto itself.
      'x-amz-metadata-directive': 'REPLACE',
    }
    return (await this.#requests.send({ method: 'PUT', name, headers })) !== undefined
  }

  async #removeTogether(keys: readonly string[]): Promise<void> {
    const objects = keys.map((key) => `<Object><Key>${this.#name(key)}</Key></Object>`).join('')
    const body = Buffer.from(`<Delete><Quiet>true</Quiet>${objects}</Delete>`)
    const headers = { 'content-md5': md5(body), 'content-type': 'application/xml' }
    const answer = await this.#requests.send({ method: 'POST', name: '', query: { delete: '' }, body, headers })
    const root = answer && parseXml(Buffer.from(answer.body).toString())
    if (root?.name !== 'DeleteResult') throw this.#notUnderstood('a removal')
    const failed = root.children.find((child) => child.name === 'Error')
    if (failed === undefined) return
    throw new MusterError(
      'unavailable',
      `Cannot remove ${textOf(failed, 'Key')} from the blob store: ${textOf(failed, 'Code')}, ${textOf(failed, 'Message')}`,
    )
  }

  #name(key: string): string {
    refuseWrongKey(key)
    return this.#requests.store.prefix + key
  }

  #notUnderstood(what: string): MusterError {
    return new MusterError(
      'unavailable',
      `Cannot use the blob store at ${this.#requests.store.endpoint.host}: its answer to ${what} is not S3's`,
      { hint: 'Check the endpoint and pathStyle of the location.' },
    )
  }
}

function foundIn(headers: S3Answer['headers']): Found {
  return { bytes: Number(headers['content-length']), modifiedAtMs: Date.parse(headers['last-modified'] ?? '') }
}

async function* piecesOf(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size)
}

/** The one checksum of a removal that every S3 store asks for. */
function md5(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('base64')
}
