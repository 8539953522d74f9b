/**
 * The archive: a log, and what belongs to it, as one file. Compressed with zstd it is a sequence of parts:
 * a line of JSON, then as many bytes as the line says, then a line end. The first line says what it is
 * and which version, the last one counts everything and has the SHA-256 of all that stands before it, itself included, so
 * that nothing can be cut off or changed without being found.
 *
 *   {"archive":"muster log","version":1,"firstPosition":41,"lastPosition":99,…}
 *   {"part":"snapshot","position":60,"byteLength":812,"crc32":…}⏎…bytes…⏎
 *   {"part":"entry","position":41,"epoch":3,"byteLength":120,"crc32":…}⏎…bytes…⏎     one per entry, without holes
 *   {"part":"blob","key":"…","byteLength":…,"crc32":…}⏎…bytes…⏎                      and contexts, records, files
 *   {"end":true,"counts":{"entry":59,…},"byteLength":…,"sha256":"…"}
 *
 * Here is only the form; export.ts says what of a log goes in. Readers refuse a newer version and skip
 * nothing. Leaves out encryption: whoever stores an archive with private parts protects the file.
 */
import { createHash, type Hash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, crc32, createZstdCompress, createZstdDecompress } from 'node:zlib'
import { MusterError } from '../protocol/errors.ts'

export const archiveVersion = 1

export type ArchiveHeader = {
  readonly archive: 'muster log'
  readonly version: number
  readonly createdAtMs: number
  /** Version of the Muster that wrote it. */
  readonly by: string
  /** Name of the log; history knows by it which positions it has applied. */
  readonly source: string
  /** The newest leadership. */
  readonly epoch: number
  /** Of the first entry inside; lastPosition + 1 when there is none. */
  readonly firstPosition: number
  readonly lastPosition: number
  readonly snapshotPosition: number | null
  /** Kinds of parts besides the log's own that were asked for. */
  readonly with: readonly ('blobs' | 'private' | 'history')[]
}

export type Part =
  | { readonly part: 'snapshot'; readonly position: number; readonly bytes: Uint8Array }
  | { readonly part: 'entry'; readonly position: number; readonly epoch: number; readonly bytes: Uint8Array }
  | { readonly part: 'blob'; readonly key: string; readonly bytes: Uint8Array }
  /** The private context of a run, as JSON; the log names it by `reference`. */
  | { readonly part: 'context'; readonly run: string; readonly reference: string; readonly bytes: Uint8Array }
  /** A small secret of the coordinator: its tokens. */
  | { readonly part: 'record'; readonly name: string; readonly bytes: Uint8Array }
  /** A piece of a file; pieces of one file follow each other. */
  | { readonly part: 'file'; readonly path: string; readonly offset: number; readonly bytes: Uint8Array }

export type PartName = Part['part']
export type Counts = { readonly [name in PartName]: number }

export type ArchiveEnd = {
  readonly counts: Counts
  /** Blobs that the log names and that were not there any more. */
  readonly missingBlobs: number
  /** Of everything before the last line, uncompressed. */
  readonly byteLength: number
  /** Of everything before the last line, and of that line as it would be without this. */
  readonly sha256: string
}

const partNames: readonly PartName[] = ['snapshot', 'entry', 'blob', 'context', 'record', 'file']
const lineBytesMax = 64 * 1024
const partBytesMax = 2 ** 31
const lineEnd = Buffer.from('\n')

/** What is written after the header; `missing` is how a blob that was not there is counted. */
export type Written = Part | { readonly missing: string }

/** The archive as compressed bytes. */
export function encodeArchive(header: ArchiveHeader, parts: AsyncIterable<Written>): Readable {
  const compressed = createZstdCompress({ params: { [constants.ZSTD_c_checksumFlag]: 1 } })
  // Its error is also that of `compressed`.
  pipeline(plainBytes(header, parts), compressed).catch(() => undefined)
  return compressed
}

async function* plainBytes(header: ArchiveHeader, parts: AsyncIterable<Written>): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  let byteLength = 0
  const counted = (bytes: Buffer): Buffer => {
    hash.update(bytes)
    byteLength += bytes.length
    return bytes
  }
  const counts = noCounts()
  let missingBlobs = 0
  yield counted(line(header))
  for await (const written of parts) {
    if ('missing' in written) {
      missingBlobs += 1
      continue
    }
    const { bytes, ...about } = written
    counts[written.part] += 1
    yield counted(line({ ...about, byteLength: bytes.length, crc32: crc32(bytes) }))
    yield counted(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
    yield counted(lineEnd)
  }
  const end = { end: true, counts, missingBlobs, byteLength }
  yield line({ ...end, sha256: hash.update(JSON.stringify(end)).digest('hex') })
}

function line(value: object): Buffer {
  return Buffer.from(`${JSON.stringify(value)}\n`)
}

function noCounts(): { [name in PartName]: number } {
  return { snapshot: 0, entry: 0, blob: 0, context: 0, record: 0, file: 0 }
}

export interface ArchiveReader {
  readonly header: ArchiveHeader
  /** Each checked as it comes; the end is checked before the last one is followed by the end of the iteration. */
  parts(): AsyncGenerator<Part, ArchiveEnd>
}

/** Reads the header. `name`: of the file, for messages. Throws MusterError archive_invalid. */
export async function openArchive(source: AsyncIterable<Uint8Array>, name: string): Promise<ArchiveReader> {
  const bytes = new Bytes(decompressed(source, name), name)
  const header = (await bytes.json('its first line')) as Partial<ArchiveHeader>
  if (header.archive !== 'muster log') throw invalid(name, 'it is no archive of a Muster log')
  if (header.version !== archiveVersion) {
    throw invalid(
      name,
      `expected version ${archiveVersion}, received ${header.version}`,
      'Use the Muster that wrote it.',
    )
  }
  return { header: header as ArchiveHeader, parts: () => partsOf(bytes, header as ArchiveHeader, name) }
}

async function* partsOf(bytes: Bytes, header: ArchiveHeader, name: string): AsyncGenerator<Part, ArchiveEnd> {
  const counts = noCounts()
  const order = new PartOrder(header, name)
  for (;;) {
    const before = bytes.mark()
    const about = (await bytes.json('a line between its parts')) as { part?: string; byteLength: number; crc32: number }
    if ('end' in about) return checkEnd(about as unknown as ArchiveEnd, { counts, ...before }, bytes, order, name)
    const part = about.part as PartName
    if (!partNames.includes(part))
      throw invalid(name, `it has a part '${about.part}', which this version does not know`)
    const { byteLength, crc32: expected, ...rest } = about
    if (!Number.isSafeInteger(byteLength) || byteLength < 0 || byteLength > partBytesMax) {
      throw invalid(name, `a part claims to have ${byteLength} bytes`)
    }
    const content = await bytes.take(byteLength)
    await bytes.take(1)
    const received = { ...rest, part, bytes: content } as Part
    if (crc32(content) !== expected) throw invalid(name, `the checksum of ${nameOf(received)} differs`)
    if (received.part === 'blob' && sha256(content) !== received.key) {
      throw invalid(name, `${nameOf(received)} has other content than its name says`)
    }
    order.check(received)
    counts[part] += 1
    yield received
  }
}

async function checkEnd(
  end: ArchiveEnd,
  found: { readonly counts: Counts; readonly byteLength: number; readonly hash: Hash },
  bytes: Bytes,
  order: PartOrder,
  name: string,
): Promise<ArchiveEnd> {
  const { sha256: expected, ...rest } = end
  const received = found.hash.update(JSON.stringify(rest)).digest('hex')
  if (end.byteLength !== found.byteLength || expected !== received) {
    throw invalid(name, 'its content has another SHA-256 than its last line says')
  }
  const differs = partNames.find((part) => end.counts[part] !== found.counts[part])
  if (differs !== undefined)
    throw invalid(name, `expected ${end.counts[differs]} parts '${differs}', received ${found.counts[differs]}`)
  if (!(await bytes.isOver())) throw invalid(name, 'something follows its last line')
  order.end()
  return end
}

/** The log's own parts come first, and without a hole. */
class PartOrder {
  readonly #header: ArchiveHeader
  readonly #name: string
  #next: number
  #epoch = 0
  #snapshot: number | null = null

  constructor(header: ArchiveHeader, name: string) {
    this.#header = header
    this.#name = name
    this.#next = header.firstPosition
  }

  check(part: Part): void {
    if (part.part === 'snapshot') {
      this.#snapshot = part.position
    } else if (part.part === 'entry') {
      if (part.position !== this.#next)
        throw invalid(this.#name, `expected entry ${this.#next}, received ${part.position}`)
      if (part.epoch < this.#epoch || part.epoch > this.#header.epoch) {
        throw invalid(this.#name, `entry ${part.position} has epoch ${part.epoch} after ${this.#epoch}`)
      }
      this.#next += 1
      this.#epoch = part.epoch
    }
  }

  end(): void {
    const { lastPosition, snapshotPosition } = this.#header
    if (this.#next !== lastPosition + 1)
      throw invalid(this.#name, `entries ${this.#next} to ${lastPosition} are missing`)
    if (this.#snapshot !== snapshotPosition) throw invalid(this.#name, `the snapshot at ${snapshotPosition} is missing`)
  }
}

function nameOf(part: Part): string {
  switch (part.part) {
    case 'snapshot':
    case 'entry':
      return `${part.part} ${part.position}`
    case 'blob':
      return `blob ${part.key}`
    case 'context':
      return `the context of run ${part.run}`
    case 'record':
      return `record ${part.name}`
    case 'file':
      return `file ${part.path}`
  }
}

/** Takes lines and counted bytes from a stream, and hashes what it takes. */
class Bytes {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #name: string
  #hash = createHash('sha256')
  #taken = 0
  #chunk: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterable<Uint8Array>, name: string) {
    this.#source = source[Symbol.asyncIterator]()
    this.#name = name
  }

  /** Everything taken so far. */
  mark(): { readonly byteLength: number; readonly hash: Hash } {
    return { byteLength: this.#taken, hash: this.#hash.copy() }
  }

  async json(what: string): Promise<object> {
    const parts: Buffer[] = []
    let length = 0
    for (;;) {
      const end = this.#chunk.indexOf(0x0a)
      const part = end < 0 ? this.#chunk : this.#chunk.subarray(0, end + 1)
      parts.push(part)
      length += part.length
      this.#consume(part)
      if (length > lineBytesMax) throw invalid(this.#name, `${what} is too long`)
      if (end >= 0) break
      if (!(await this.#more())) throw invalid(this.#name, `it ends early; ${what} is cut off or absent`)
    }
    try {
      const value: unknown = JSON.parse(Buffer.concat(parts).toString('utf8'))
      if (typeof value === 'object' && value !== null) return value
    } catch {
      // Said below, with the file's name.
    }
    throw invalid(this.#name, `${what} is not JSON`)
  }

  async take(length: number): Promise<Uint8Array> {
    const all = Buffer.allocUnsafe(length)
    let at = 0
    while (at < length) {
      if (this.#chunk.length === 0 && !(await this.#more()))
        throw invalid(this.#name, 'it ends early, in the middle of a part')
      const part = this.#chunk.subarray(0, length - at)
      part.copy(all, at)
      at += part.length
      this.#consume(part)
    }
    return all
  }

  async isOver(): Promise<boolean> {
    return this.#chunk.length === 0 && !(await this.#more())
  }

  #consume(part: Buffer): void {
    this.#hash.update(part)
    this.#taken += part.length
    this.#chunk = this.#chunk.subarray(part.length)
  }

  async #more(): Promise<boolean> {
    for (;;) {
      const next = await this.#source.next()
      if (next.done) return false
      this.#chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.length)
      if (this.#chunk.length > 0) return true
    }
  }
}

async function* decompressed(source: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array> {
  const plain = createZstdDecompress()
  // Its error is also that of `plain`.
  pipeline(source, plain).catch(() => undefined)
  try {
    yield* plain as AsyncIterable<Uint8Array>
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (!/^(Z_|ZSTD_|ERR_ZLIB)/.test(code ?? '')) throw error
    throw invalid(name, `it cannot be decompressed (${message})`)
  } finally {
    plain.destroy()
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export function invalid(name: string, problem: string, hint?: string): MusterError {
  return new MusterError('archive_invalid', `Cannot use the archive ${name}: ${problem}`, {
    hint: hint ?? 'Take another copy of it, or an older backup.',
  })
}
