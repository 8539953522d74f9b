/**
 * A stream to an S3 store. What fits into one part goes as one put. Longer ones go in parts, a few at
 * a time, each kept in memory until the store has it, so that it can be sent again. The object comes
 * into being only when the whole content was seen to match its key; else the parts are dropped.
 */
import { createHash } from 'node:crypto'
import { MusterError } from '../protocol/errors.ts'
import { tooLarge, wrongContent } from './keys.ts'
import type { S3Requests } from './s3-requests.ts'
import { parseXml, textOf } from './s3-xml.ts'

const partsAtOnce = 3

export type StreamedBlob = {
  readonly key: string
  readonly name: string
  readonly source: AsyncIterable<Uint8Array>
  readonly maxBytes: number
  readonly partBytes: number
  readonly putWhole: (bytes: Uint8Array) => Promise<void>
  readonly isThere: () => Promise<boolean>
}

export async function putInParts(requests: S3Requests, blob: StreamedBlob): Promise<void> {
  const { key, maxBytes } = blob
  const hash = createHash('sha256')
  let bytes = 0
  async function* counted(): AsyncIterable<Uint8Array> {
    for await (const chunk of blob.source) {
      bytes += chunk.length
      if (bytes > maxBytes) throw tooLarge(maxBytes)
      hash.update(chunk)
      yield chunk
    }
  }
  const refuseOtherContent = () => {
    const received = hash.digest('hex')
    if (received !== key) throw wrongContent(key, received)
  }
  let upload: Upload | undefined
  let isThere = false
  let number = 0
  try {
    for await (const { part, isLast } of inParts(counted(), blob.partBytes)) {
      number += 1
      if (number === 1 && isLast) {
        refuseOtherContent()
        await blob.putWhole(part)
        return
      }
      // Once it is known to be there, the rest is only compared.
      if (number === 1) isThere = await blob.isThere()
      if (isThere) continue
      upload ??= await Upload.begin(requests, blob.name)
      await upload.add(number, part)
    }
    refuseOtherContent()
    await upload?.finish()
  } catch (error) {
    await upload?.drop()
    throw error
  }
}

/** At least one part, the last one maybe empty. */
async function* inParts(
  source: AsyncIterable<Uint8Array>,
  partBytes: number,
): AsyncIterable<{ readonly part: Uint8Array; readonly isLast: boolean }> {
  let waiting: Uint8Array[] = []
  let bytes = 0
  for await (let chunk of source) {
    // Only when more follows: so the last part is never empty but for an empty stream.
    while (bytes + chunk.length > partBytes) {
      const room = partBytes - bytes
      yield { part: Buffer.concat([...waiting, chunk.subarray(0, room)]), isLast: false }
      chunk = chunk.subarray(room)
      waiting = []
      bytes = 0
    }
    // Copied: whoever sends the stream may use its buffer again.
    waiting.push(Buffer.from(chunk))
    bytes += chunk.length
  }
  yield { part: Buffer.concat(waiting), isLast: true }
}

class Upload {
  readonly #requests: S3Requests
  readonly #name: string
  readonly #id: string
  readonly #tags = new Map<number, string>()
  readonly #sending = new Set<Promise<void>>()
  #bytes = 0

  private constructor(requests: S3Requests, name: string, id: string) {
    this.#requests = requests
    this.#name = name
    this.#id = id
  }

  static async begin(requests: S3Requests, name: string): Promise<Upload> {
    const answer = await requests.send({ method: 'POST', name, query: { uploads: '' } })
    const id = textOf(answer && parseXml(Buffer.from(answer.body).toString()), 'UploadId')
    if (id === undefined) throw notUnderstood('the beginning of an upload in parts')
    return new Upload(requests, name, id)
  }

  /** Resolves when there is room for another part. Rejects when this or an earlier one could not be sent. */
  async add(number: number, part: Uint8Array): Promise<void> {
    this.#bytes += part.length
    const sending = this.#send(number, part)
    this.#sending.add(sending)
    // Its failure is met by whoever waits for it, below or in finish.
    void sending.then(
      () => this.#sending.delete(sending),
      () => {},
    )
    if (this.#sending.size >= partsAtOnce) await Promise.race(this.#sending)
  }

  async finish(): Promise<void> {
    await Promise.all(this.#sending)
    const parts = [...this.#tags]
      .sort(([a], [b]) => a - b)
      .map(([number, tag]) => `<Part><PartNumber>${number}</PartNumber><ETag>${tag}</ETag></Part>`)
    const body = Buffer.from(`<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`)
    const query = { uploadId: this.#id }
    try {
      await this.#requests.send({ method: 'POST', name: this.#name, query, body })
    } catch (error) {
      // Sent twice because the first answer was lost: then the upload is over, and the object there.
      const answer = await this.#requests.send({ method: 'HEAD', name: this.#name })
      if (Number(answer?.headers['content-length']) !== this.#bytes) throw error
    }
  }

  async drop(): Promise<void> {
    await Promise.allSettled(this.#sending)
    try {
      await this.#requests.send({ method: 'DELETE', name: this.#name, query: { uploadId: this.#id } })
    } catch {
      // The reason to drop it is what the caller must hear; what stays is for the bucket's lifecycle rule.
    }
  }

  async #send(partNumber: number, part: Uint8Array): Promise<void> {
    const query = { partNumber: String(partNumber), uploadId: this.#id }
    const answer = await this.#requests.send({ method: 'PUT', name: this.#name, query, body: part })
    const tag = answer?.headers.etag
    if (!tag) throw notUnderstood('a part')
    this.#tags.set(partNumber, tag)
  }
}

function notUnderstood(what: string): MusterError {
  return new MusterError('unavailable', `Cannot use the blob store: its answer to ${what} is not S3's`, {
    hint: 'Check the endpoint of the location.',
  })
}
