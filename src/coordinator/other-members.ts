/** Asks other coordinators of the cluster over their HTTP API, as one of them. Leaves out who they are: the seat knows. */
import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream } from 'node:stream/web'
import type { Problem } from '../protocol/api.ts'
import { MusterError, type ErrorCode } from '../protocol/errors.ts'

export class OtherMembers {
  readonly #token: string

  /** `token`: opens what is for coordinators only. */
  constructor(token: string) {
    this.#token = token
  }

  /** Rejects with MusterError: what the other one answered, or `unavailable` when it can't be reached. */
  async ask<T>(address: string, path: string, init: RequestInit): Promise<T> {
    return (await (await this.#call(address, path, init)).json()) as T
  }

  /** Streams what it answers into a file that only this user can read. */
  async download(address: string, path: string, to: string, signal: AbortSignal): Promise<void> {
    const response = await this.#call(address, path, { signal })
    await pipeline(Readable.fromWeb(response.body as ReadableStream), createWriteStream(to, { mode: 0o600 }))
  }

  async #call(address: string, path: string, init: RequestInit): Promise<Response> {
    const headers = { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' }
    const response = await fetch(new URL(`/api/v1${path}`, address), { ...init, headers }).catch((error: Error) => {
      const cause = error.cause instanceof Error ? error.cause : error
      throw new MusterError('unavailable', `Cannot reach the coordinator at ${address}: ${cause.message}`, { cause })
    })
    if (response.ok) return response
    const { code, detail, hint } = (await response.json()) as Problem
    throw new MusterError(code as ErrorCode, detail, hint === undefined ? {} : { hint })
  }
}
