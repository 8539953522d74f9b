/**
 * A coordinator for the worker's tests: the real WebSocket and HTTP, no scheduling. It remembers what
 * it was told and can be taken away and brought back at the same address.
 */
import { createHash, randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { type WebSocket, WebSocketServer } from 'ws'
import type {
  Assign,
  CoordinatorMessage,
  Ended,
  Hello,
  RunContext,
  WorkerMessage,
} from '../protocol/worker-messages.ts'

export function temporarySocket(): string {
  return path.join(os.tmpdir(), `muster-test-${randomBytes(6).toString('hex')}.sock`)
}

export type Received = WorkerMessage & { readonly atMs: number }

export class TestCoordinator {
  readonly socketPath: string
  readonly received: Received[] = []
  readonly blobs = new Map<string, Buffer>()
  readonly blobRequests: string[] = []
  readonly contexts = new Map<string, RunContext>()
  contextRequests = 0
  onReceived: (message: WorkerMessage) => void = () => {}
  /** Acknowledge as it comes; off to see what is sent again. */
  acknowledge = true
  heartbeatMs = 1000
  leaseMs = 10_000
  fenceMs = 6000
  epoch = 1
  /** Absent: as a coordinator of an older version. */
  understands: Extract<CoordinatorMessage, { type: 'welcome' }>['understands']
  /** Off: as a coordinator that doesn't know whether it leads. */
  beats = true
  /** What `welcome` keeps of what `hello` holds. */
  keep: (hello: Hello) => string[] = (hello) => hello.held.map((one) => one.batch)
  readonly #token: string | undefined
  #server: http.Server | undefined
  #sockets = new Set<WebSocket>()
  #latest: WebSocket | undefined
  #waiting = new Set<() => void>()
  #tokens = 0

  constructor(token?: string, socketPath = temporarySocket()) {
    this.#token = token
    this.socketPath = socketPath
  }

  get url(): string {
    return `unix:${this.socketPath}`
  }

  async start(): Promise<this> {
    const server = http.createServer((request, response) => this.#answer(request, response))
    const sockets = new WebSocketServer({ noServer: true, maxPayload: 256 * 1024 * 1024 })
    server.on('upgrade', (request, socket, head) => {
      if (this.#token !== undefined && request.headers.authorization !== `Bearer ${this.#token}`) {
        return void socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
      }
      sockets.handleUpgrade(request, socket, head, (webSocket) => this.#opened(webSocket))
    })
    // Left by one that was killed.
    rmSync(this.socketPath, { force: true })
    await new Promise<void>((resolve) => server.listen(this.socketPath, resolve))
    this.#server = server
    return this
  }

  /** As when it is killed: every connection breaks. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.terminate()
    this.#sockets.clear()
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeAllConnections()
    await closed
    rmSync(this.socketPath, { force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  send(message: CoordinatorMessage): void {
    this.#latest?.send(JSON.stringify(message))
  }

  addBlob(bytes: Buffer): string {
    const key = createHash('sha256').update(bytes).digest('hex')
    this.blobs.set(key, bytes)
    return key
  }

  /** Assigns files; the rest has defaults. */
  assign(files: readonly string[], options: Partial<Assign> & { readonly env?: Record<string, string> } = {}): Assign {
    const { env, ...rest } = options
    this.#tokens += 1
    const assign: Assign = {
      type: 'assign',
      batch: `b${this.#tokens}`,
      token: this.#tokens,
      run: `r${this.#tokens}`,
      framework: 'fake',
      cwd: os.tmpdir(),
      workspace: { type: 'in-place', host: 'test' },
      context: '',
      paths: [],
      args: [],
      complete: true,
      tasks: files.map((_, index) => index),
      files,
      cpus: 1,
      taskTimeoutMs: 30_000,
      ...rest,
    }
    if (!this.contexts.has(assign.run)) {
      const detection = { framework: 'command', version: '1', reason: 'test', strength: 'config' }
      this.contexts.set(assign.run, { env: { PATH: process.env['PATH'] ?? '', ...env }, detection })
    }
    this.send(assign)
    return assign
  }

  of<T extends WorkerMessage['type']>(type: T, batch?: string): Extract<Received, { type: T }>[] {
    return this.received.filter(
      (one): one is Extract<Received, { type: T }> =>
        one.type === type && (batch === undefined || ('batch' in one && one.batch === batch)),
    )
  }

  /** Resolves with the first non-undefined value; looks again at every message. */
  async until<T>(look: () => T | undefined, what = 'a message', timeoutMs = 30_000): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const timer = setTimeout(() => {
      reject(
        new Error(`waited ${timeoutMs} ms for ${what}; received ${this.received.map((one) => one.type).join(' ')}`),
      )
    }, timeoutMs)
    const tryIt = (): void => {
      const value = look()
      if (value !== undefined) resolve(value)
    }
    this.#waiting.add(tryIt)
    tryIt()
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(tryIt)
    }
  }

  ended(batch: string): Promise<Ended & Received> {
    return this.until(() => this.of('ended', batch)[0], `the end of ${batch}`)
  }

  /** What a batch's files were reported as. */
  outcomes(batch: string): Map<number, string> {
    const outcomes = new Map<number, string>()
    for (const { results, plain = [] } of this.of('reported', batch)) {
      for (const { task, result } of results) outcomes.set(task, result.outcome)
      for (const [task, outcome] of plain) outcomes.set(task, outcome)
    }
    return outcomes
  }

  output(batch: string): string {
    return this.of('live', batch)
      .map((live) => live.output ?? '')
      .join('')
  }

  #opened(socket: WebSocket): void {
    this.#sockets.add(socket)
    this.#latest = socket
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString('utf8')) as WorkerMessage
      this.received.push({ ...message, atMs: performance.now() })
      if (message.type === 'hello') {
        socket.send(
          JSON.stringify({
            type: 'welcome',
            epoch: this.epoch,
            heartbeatMs: this.heartbeatMs,
            leaseMs: this.leaseMs,
            fenceMs: this.fenceMs,
            keep: this.keep(message),
            ...(this.understands && { understands: this.understands }),
          } satisfies CoordinatorMessage),
        )
      } else if (message.type === 'heartbeat') {
        if (this.beats && message.n !== undefined)
          socket.send(JSON.stringify({ type: 'beat', n: message.n } satisfies CoordinatorMessage))
      } else if ('seq' in message && this.acknowledge) {
        socket.send(JSON.stringify({ type: 'ack', seq: message.seq } satisfies CoordinatorMessage))
      }
      this.onReceived(message)
      for (const tryIt of this.#waiting) tryIt()
    })
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const [, , , kind = '', id = ''] = (request.url ?? '').split('/')
    if (kind === 'blobs') this.blobRequests.push(id)
    if (kind === 'runs') this.contextRequests += 1
    const context = this.contexts.get(id)
    const body =
      kind === 'blobs'
        ? this.blobs.get(id)
        : kind === 'runs' && context
          ? Buffer.from(JSON.stringify(context))
          : undefined
    if (body === undefined) response.writeHead(404).end('no such thing')
    else response.writeHead(200, { 'content-length': body.length }).end(body)
  }
}
