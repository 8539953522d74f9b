/**
 * Many scripted workers in one process: each holds a WebSocket, says hello, sends its heartbeats,
 * greets a new leader, and comes back when its connection breaks, to the next address. It runs
 * nothing: what it is assigned it reports as passed at once, or keeps. Speaks to its parent by messages.
 */
import { WebSocket } from 'ws'
import type { CoordinatorMessage, WorkerMessage } from '../../src/protocol/worker-messages.ts'
import { workerProtocolVersion } from '../../src/protocol/worker-protocol-version.ts'

export type CrowdOptions = {
  readonly urls: readonly string[]
  readonly token: string
  readonly first: number
  readonly count: number
  /** It keeps what it is assigned. */
  readonly keeps?: boolean
  /** What it says that a task took; default 0. */
  readonly durationMs?: number
}
/** `mark`: from now on it waits for a welcome of each, and says so. */
export type ToCrowd = { readonly type: 'connect' } | { readonly type: 'mark' } | { readonly type: 'count' }
export type FromCrowd =
  | { readonly type: 'welcomed' }
  | {
      readonly type: 'counted'
      readonly connected: number
      readonly beats: number
      readonly heartbeats: number
      readonly reconnects: number
      readonly assigned: number
    }

const { urls, token, first, count, keeps = false, durationMs = 0 } = JSON.parse(process.argv[2]!) as CrowdOptions
/** Connections that are being opened at the same time. */
const openingMax = 64
const backMaxMs = 500

let connected = 0
let beats = 0
let heartbeats = 0
let reconnects = 0
let assigned = 0
let awaited = new Set<number>()
const opening: (() => void)[] = []
let openingCount = 0

const say = (message: FromCrowd) => void process.send?.(message)

function turn(open: () => void): void {
  if (openingCount >= openingMax) opening.push(open)
  else {
    openingCount += 1
    open()
  }
}

function opened(): void {
  openingCount -= 1
  const next = opening.shift()
  if (next) turn(next)
}

function worker(number: number): void {
  let at = number
  let seq = 0
  let n = 0
  const capabilities = {
    os: 'linux',
    arch: 'x64',
    cpus: 1,
    memoryBytes: 2 ** 30,
    host: `host-${number}`,
    labels: {},
    tools: {},
  }
  const connect = (): void => {
    const url = new URL('/api/v1/worker', urls[at % urls.length]!)
    url.protocol = 'ws:'
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` }, perMessageDeflate: false })
    let beating: NodeJS.Timeout | undefined
    let settled = false
    const settle = (): void => {
      if (!settled) opened()
      settled = true
    }
    const tell = (message: WorkerMessage): void => {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
    }
    const hello = (): void => {
      seq = 0
      const who = { worker: `w${number}`, name: `w${number}`, version: '1', capabilities }
      tell({ type: 'hello', protocol: workerProtocolVersion, ...who, held: [], draining: false })
    }
    const heartbeat = (): void => {
      heartbeats += 1
      tell({ type: 'heartbeat', n: (n += 1) })
    }
    socket.on('open', () => {
      settle()
      connected += 1
      hello()
    })
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString('utf8')) as CoordinatorMessage
      if (message.type === 'beat') beats += 1
      else if (message.type === 'greet') hello()
      else if (message.type === 'assign') {
        assigned += 1
        if (keeps) return
        const { batch, token: fence, tasks } = message
        const plain = tasks.map((task): [number, string, number] => [task, 'passed', durationMs])
        tell({ type: 'reported', seq: (seq += 1), batch, token: fence, results: [], plain })
        const nothing = { interrupted: [], timedOut: [], errors: [] }
        const end = { reason: 'completed', exitCode: 0, signal: null, startupMs: 0, wallMs: 0 } as const
        tell({ type: 'ended', seq: (seq += 1), batch, token: fence, ...end, ...nothing })
      } else if (message.type === 'welcome') {
        // Not all in the same moment.
        if (!beating) {
          setTimeout(() => {
            if (socket.readyState === WebSocket.OPEN) beating = setInterval(heartbeat, message.heartbeatMs)
          }, Math.random() * message.heartbeatMs)
        }
        if (awaited.delete(number) && awaited.size === 0) say({ type: 'welcomed' })
      }
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (settled) connected -= 1
      settle()
      clearInterval(beating)
      reconnects += 1
      at += 1
      setTimeout(() => turn(connect), Math.random() * backMaxMs)
    })
  }
  turn(connect)
}

process.on('disconnect', () => process.exit(0))
process.on('message', (message: ToCrowd) => {
  if (message.type === 'count') return say({ type: 'counted', connected, beats, heartbeats, reconnects, assigned })
  awaited = new Set(Array.from({ length: count }, (_, each) => first + each))
  if (message.type === 'connect') for (const number of awaited) worker(number)
})
