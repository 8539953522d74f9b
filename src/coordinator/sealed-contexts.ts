/**
 * Private contexts as encrypted blobs, for coordinators that share a blob store and a secret. The
 * reference is the blob's key, so it needs no index: whoever has read the run's spec from the log can
 * read the context. Every seal has a random nonce, so no two contexts are one blob, and removing the
 * context of one run never takes that of another.
 *
 *   'MCTX' | version 1 | key id (8 bytes) | nonce (12) | AES-256-GCM of the JSON | tag (16)
 *
 * The key is derived from the secret (HKDF-SHA256), the key id too, so it tells nothing about it. All
 * before the ciphertext is authenticated with it.
 *
 * Rotation: every coordinator is started with the new secret first and the old ones after it. New
 * contexts are sealed under the first; older ones stay as they are, and an old secret may be left out
 * once no run sealed under it is kept. Nothing is sealed again: a blob's key would change, and with it
 * what the log says.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import type { Blobs } from '../blobs/blobs.ts'
import { isKey } from '../blobs/keys.ts'
import { MusterError } from '../protocol/errors.ts'
import type { RunContext } from '../protocol/worker-messages.ts'
import type { Contexts } from './contexts.ts'

type Key = { readonly id: Buffer; readonly bytes: Buffer }

const magic = Buffer.from('MCTX')
const version = 1
const idBytes = 8
const nonceBytes = 12
const tagBytes = 16
const headerBytes = magic.length + 1 + idBytes + nonceBytes
const secretBytesMin = 32

export class SealedContexts implements Contexts {
  readonly #blobs: Blobs
  readonly #keys: readonly Key[]
  readonly #moved: Readonly<Record<string, string>>

  /**
   * `secrets`: base64 of at least 32 bytes each, the one to seal with first. `moved`: where contexts are whose reference
   * was made by another backend, because the log was imported: reference to blob key.
   */
  constructor(blobs: Blobs, secrets: readonly string[], moved: Readonly<Record<string, string>> = {}) {
    this.#blobs = blobs
    this.#moved = moved
    this.#keys = secrets.map(keyFrom)
    if (this.#keys.length === 0) throw wrongSecret('none was given')
  }

  async put(_run: string, context: RunContext): Promise<string> {
    return await this.#blobs.put(seal(this.#keys[0]!, Buffer.from(JSON.stringify(context))))
  }

  async get(reference: string): Promise<RunContext | undefined> {
    const key = this.blobKey(reference)
    const sealed = key === undefined ? undefined : await this.#blobs.get(key)
    if (sealed === undefined) return undefined
    return JSON.parse(unseal(this.#keys, sealed, reference).toString('utf8')) as RunContext
  }

  async remove(reference: string): Promise<void> {
    const key = this.blobKey(reference)
    if (key !== undefined) await this.#blobs.remove(key)
  }

  blobKey(reference: string): string | undefined {
    return isKey(reference) ? reference : this.#moved[reference]
  }

  /** What nothing refers to is dropped by the collector of blobs, once it has been unused for long enough. */
  async keepOnly(): Promise<void> {}
}

function keyFrom(secret: string): Key {
  const bytes = Buffer.from(secret, 'base64')
  if (bytes.length < secretBytesMin) throw wrongSecret(`received ${bytes.length} bytes`)
  const derive = (purpose: string, length: number) => Buffer.from(hkdfSync('sha256', bytes, '', purpose, length))
  return { bytes: derive('muster context key', 32), id: derive('muster context key id', idBytes) }
}

function seal(key: Key, plain: Uint8Array): Uint8Array {
  const nonce = randomBytes(nonceBytes)
  const header = Buffer.concat([magic, Buffer.from([version]), key.id, nonce])
  const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce).setAAD(header)
  return Buffer.concat([header, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

function unseal(keys: readonly Key[], sealed: Uint8Array, reference: string): Buffer {
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
  const isOurs = bytes.length >= headerBytes + tagBytes && bytes.subarray(0, magic.length).equals(magic)
  if (!isOurs) throw unreadable(reference, 'it is no sealed context', 'Whatever named it is wrong.')
  if (bytes[magic.length] !== version) {
    throw unreadable(reference, `it is of version ${bytes[magic.length]}`, 'Upgrade this coordinator.')
  }
  const header = bytes.subarray(0, headerBytes)
  const id = header.subarray(magic.length + 1, magic.length + 1 + idBytes)
  const key = keys.find((one) => one.id.equals(id))
  if (key === undefined) {
    const known = keys.map((one) => one.id.toString('hex')).join(', ')
    throw unreadable(
      reference,
      `it is sealed under the secret ${id.toString('hex')}, and this coordinator has ${known}`,
      'Start it with the secret of the cluster; after a rotation with the ones before it too.',
    )
  }
  const nonce = header.subarray(headerBytes - nonceBytes)
  const opener = createDecipheriv('aes-256-gcm', key.bytes, nonce, { authTagLength: tagBytes }).setAAD(header)
  opener.setAuthTag(bytes.subarray(-tagBytes))
  try {
    return Buffer.concat([opener.update(bytes.subarray(headerBytes, -tagBytes)), opener.final()])
  } catch (error) {
    throw unreadable(reference, 'it was altered', 'Start the run again.', error)
  }
}

function unreadable(reference: string, problem: string, hint: string, cause?: unknown): MusterError {
  const message = `Cannot open the private context ${reference.slice(0, 12)}…: ${problem}`
  return new MusterError('unavailable', message, { hint, cause })
}

function wrongSecret(problem: string): MusterError {
  return new MusterError(
    'config_invalid',
    `Cannot use the cluster's secret: expected base64 of at least ${secretBytesMin} bytes, ${problem}`,
    { hint: 'Make one with: openssl rand -base64 32' },
  )
}
