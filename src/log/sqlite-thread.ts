/**
 * The thread that owns the SQLite connection. It takes every message that has arrived and makes of
 * all consecutive appends one group: one transaction, one sync, one message back (group commit).
 * Requests are carried out in the order in which they were sent. Checkpoints run when nothing has
 * been asked for a moment, so that their syncs fall between appends and not into one.
 */
import { receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { isMusterError } from '../protocol/errors.ts'
import type { ErrorCode } from '../protocol/errors.ts'
import { AssertionFailed } from '../stdx/assert.ts'
import type { ReadResult } from './log.ts'
import { LogDatabase, translateError } from './sqlite-database.ts'
import type { AppendRequest, DatabaseOptions } from './sqlite-database.ts'

export type ThreadData = { readonly port: MessagePort; readonly directory: string; readonly options: DatabaseOptions }

export type Request =
  | ({ readonly type: 'append'; readonly id: number } & AppendRequest)
  | { readonly type: 'claim'; readonly id: number; readonly owner: string }
  | { readonly type: 'read'; readonly id: number; readonly from: number; readonly maxBytes: number }
  | { readonly type: 'head'; readonly id: number }
  | { readonly type: 'trim'; readonly id: number; readonly below: number }
  | { readonly type: 'size'; readonly id: number }
  | { readonly type: 'close'; readonly id: number }

export type Failure = {
  readonly kind: 'assertion' | 'muster' | 'bug'
  readonly code?: ErrorCode
  readonly message: string
  readonly hint?: string | undefined
}
export type Response =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly failure: Failure }

const idleMs = 50
const groupBytesMax = 4 * 1024 * 1024

function main({ port, directory, options }: ThreadData): void {
  let database: LogDatabase
  try {
    database = new LogDatabase(directory, options)
  } catch (error) {
    port.postMessage([fail(0, error)])
    port.close()
    return
  }
  port.postMessage([{ id: 0, value: undefined }])
  let idle: NodeJS.Timeout | undefined
  let closed = false

  port.on('message', (first: Request) => {
    clearTimeout(idle)
    let next: Request | undefined = first
    while (next !== undefined) {
      if (next.type !== 'append') {
        carryOut(next)
        next = receive()
        continue
      }
      const group = [next]
      let bytes = next.bytes.length
      next = receive()
      while (next?.type === 'append' && bytes < groupBytesMax) {
        group.push(next)
        bytes += next.bytes.length
        next = receive()
      }
      appendGroup(group)
    }
    if (!closed) idle = setTimeout(checkpointWhenIdle, idleMs)
  })

  function receive(): Request | undefined {
    return receiveMessageOnPort(port)?.message as Request | undefined
  }

  function appendGroup(group: readonly Extract<Request, { type: 'append' }>[]): void {
    let responses: Response[]
    try {
      responses = database.append(group).map((answer, i) => {
        const id = group[i]!.id
        return answer instanceof Error ? fail(id, answer) : { id, value: answer }
      })
    } catch (error) {
      responses = group.map(({ id }) => fail(id, error))
    }
    port.postMessage(responses)
  }

  function carryOut(request: Exclude<Request, { type: 'append' }>): void {
    try {
      if (request.type === 'close') {
        closed = true
        database.close()
        port.postMessage([{ id: request.id, value: undefined }])
        port.close()
        return
      }
      const value = answer(request)
      port.postMessage([{ id: request.id, value }], request.type === 'read' ? buffersOf(value as ReadResult) : [])
    } catch (error) {
      port.postMessage([fail(request.id, error)])
    }
  }

  function answer(request: Exclude<Request, { type: 'append' | 'close' }>): unknown {
    switch (request.type) {
      case 'claim':
        return database.claim(request.owner)
      case 'read':
        return database.read(request.from, request.maxBytes)
      case 'head':
        return database.head()
      case 'trim':
        return database.trimSome(request.below)
      case 'size':
        return database.sizeBytes()
    }
  }

  function checkpointWhenIdle(): void {
    if (!database.needsCheckpoint) return
    try {
      database.checkpoint()
    } catch (error) {
      // Nothing is lost: the WAL still holds it all, and the next append meets the same disk and says so to its caller.
      process.emitWarning(`The log's checkpoint failed: ${String(error)}`)
    }
  }

  function fail(id: number, thrown: unknown): Response {
    const error = translateError(thrown, directory)
    if (isMusterError(error))
      return { id, failure: { kind: 'muster', code: error.code, message: error.message, hint: error.hint } }
    const kind = error instanceof AssertionFailed ? 'assertion' : 'bug'
    return { id, failure: { kind, message: error instanceof Error ? error.message : String(error) } }
  }
}

function buffersOf(result: ReadResult): ArrayBuffer[] {
  return result.type === 'entries' ? result.entries.map((entry) => entry.bytes.buffer as ArrayBuffer) : []
}

main(workerData as ThreadData)
