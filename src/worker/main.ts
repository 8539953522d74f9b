/**
 * A worker: one per host, a process of its own. `startWorker` joins a coordinator and carries out
 * what it is given until it is drained, refused or told to stop.
 */
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { MusterError } from '../protocol/errors.ts'
import { Agent } from './agent.ts'
import { capabilities } from './capabilities.ts'
import { Detection, type DetectLevel } from './detect/detect.ts'
import { parseEndpoint } from './endpoint.ts'
import { isRunning } from './process-tree.ts'
import { removeStaleSpools } from './spool.ts'
import { claimTempRoot, releaseTempRoot } from './temp-root.ts'
import type { WorkerLog } from './thread-messages.ts'
import { setTimeout as sleep } from 'node:timers/promises'

export type { WorkerLog } from './thread-messages.ts'

const joinTimeoutMs = 30_000
/** A browser's self-test and the benchmark let a run go first that this worker was started for. */
const settleMs = 3000
const diskBytesMax = 20 * 1024 ** 3

export type WorkerOptions = {
  /** Coordinators of one cluster, or the only one: `http(s)://host:port` or `unix:/path/to.sock`. At least one. */
  readonly urls: readonly string[]
  /** For every address, or for each. */
  readonly token?: string | ((url: string) => string | undefined)
  /** What people see; default: the host's name. */
  readonly name?: string
  readonly labels: Readonly<Record<string, string>>
  /** Default: all that the host (its cgroup) has. */
  readonly cpus?: number
  /** Counted things that batches take and give back. */
  readonly resources?: Readonly<Record<string, number>>
  /** How much is found out about this machine; default `all`, and `quick` for a worker that is alone. */
  readonly detect?: DetectLevel
  /** The longest that a start waits for what is found out quickly; default 2 s. */
  readonly detectStartMs?: number
  /** How often cards, disks and limits are looked at again; default 2 min. */
  readonly detectEveryMs?: number
  /** Spool, workspaces and their cache live here. */
  readonly dataDir: string
  /** Muster's own version. */
  readonly version: string
  readonly log: WorkerLog
  /** Give up when the coordinator was never reached; default 30 s. */
  readonly joinTimeoutMs?: number
  /** Once joined: leave when the coordinator has been away for so long. Default: dial for ever. */
  readonly orphanTimeoutMs?: number
  /** The coordinator's only worker, for good: being cut off from it, however long, is no reason to end what runs. */
  readonly isAlone?: boolean
  /** SIGTERM and SIGINT drain; a second one stops at once. Default false: the caller decides. */
  readonly signals?: boolean
  /** Workspaces and their cache together; default 20 GB. */
  readonly diskBytesMax?: number
  /** Module (URL) that exports `runnersByName`; default: Muster's own. */
  readonly runnersModule?: string
}

export type WorkerEnd =
  /** Drained, or stopped by the caller. */
  | { readonly type: 'drained' }
  | { readonly type: 'stopped' }
  /** The coordinator was away for longer than orphanTimeoutMs. */
  | { readonly type: 'orphaned' }
  | { readonly type: 'failed'; readonly error: MusterError }

export type WorkerHandle = AsyncDisposable & {
  readonly id: string
  /** Takes no more work, finishes what it holds, reports it and ends. */
  drain(why: string): void
  /** Ends everything it runs, now. */
  stop(): Promise<void>
  /** Never rejects. */
  readonly done: Promise<WorkerEnd>
  /** Batches that run or have unacknowledged reports. */
  readonly held: number
}

/** Resolves once the coordinator has welcomed the worker. Throws MusterError when it can't be reached or refuses. */
export async function startWorker(options: WorkerOptions): Promise<WorkerHandle> {
  const { urls, token } = options
  const endpoints = urls.map((url) => parseEndpoint(url, typeof token === 'function' ? token(url) : token))
  const worker = `w-${randomBytes(6).toString('hex')}`
  await mkdir(options.dataDir, { recursive: true })
  const spoolDir = path.join(options.dataDir, 'spool')
  removeStaleSpools(spoolDir, isRunning)
  const tempRoot = claimTempRoot(options.dataDir)
  const detection = new Detection({
    level: options.detect ?? (options.isAlone === true ? 'quick' : 'all'),
    ...(options.detectStartMs === undefined ? {} : { startWaitMs: options.detectStartMs }),
    ...(options.detectEveryMs === undefined ? {} : { watchMs: options.detectEveryMs }),
    dataDir: options.dataDir,
    tempDir: tempRoot,
    // What it starts bears the mark by which everything of this worker is ended, should it be killed.
    env: { ...process.env, MUSTER_WORKER: worker },
    log: options.log,
    onUpdate: () => agent.described(),
    idle: async () => {
      await sleep(settleMs, undefined, { ref: false })
      await agent.whenIdle()
    },
  })
  const joined = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<WorkerEnd>()
  const end = (how: WorkerEnd): void => {
    ended.resolve(how)
    joined.reject(
      how.type === 'failed' ? how.error : new MusterError('unavailable', 'The worker was stopped before it had joined'),
    )
  }
  const agent = new Agent({
    endpoints,
    joinTimeoutMs: options.joinTimeoutMs ?? joinTimeoutMs,
    describe: () => ({
      name: options.name ?? os.hostname(),
      version: options.version,
      capabilities: capabilities(options, detection.detected),
    }),
    executor: {
      worker,
      coordinators: endpoints.map(({ url, token: its }) => ({ url, token: its })),
      dataDir: options.dataDir,
      tempRoot,
      runnersModule: options.runnersModule ?? ownRunnersModule(),
      diskBytesMax: options.diskBytesMax ?? diskBytesMax,
    },
    spoolDir,
    log: options.log,
    joined: () => joined.resolve(),
    failed: (error) => end({ type: 'failed', error }),
    refused: (why) =>
      end({ type: 'failed', error: new MusterError('forbidden', `The coordinator refused this worker: ${why}`) }),
    drained: () => end({ type: 'drained' }),
    orphanTimeoutMs: options.orphanTimeoutMs,
    isAlone: options.isAlone,
    orphaned: () => end({ type: 'orphaned' }),
  })
  const forgetSignals = options.signals === true ? onSignals(agent, end, options.log) : () => {}
  const done = ended.promise.then(async (how) => {
    forgetSignals()
    await detection[Symbol.asyncDispose]()
    await agent.close()
    releaseTempRoot(tempRoot)
    return how
  })
  await detection.first
  agent.dial()
  try {
    await joined.promise
  } catch (error) {
    await done
    throw error
  }
  const stop = async (): Promise<void> => {
    end({ type: 'stopped' })
    await done
  }
  return {
    id: worker,
    drain: (why) => agent.drain(why),
    stop,
    done,
    get held() {
      return agent.held
    },
    [Symbol.asyncDispose]: stop,
  }
}

function ownRunnersModule(): string {
  return new URL(`../runners/detect.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url).href
}

function onSignals(agent: Agent, end: (how: WorkerEnd) => void, log: WorkerLog): () => void {
  let first = true
  const received = (name: NodeJS.Signals): void => {
    if (!first) return end({ type: 'stopped' })
    first = false
    const { held } = agent
    const before = held === 0 ? '' : `finishing ${held === 1 ? 'its batch' : `its ${held} batches`}, then `
    log('info', `${name}: ${before}leaving; a second signal stops at once`)
    agent.drain(name)
  }
  process.on('SIGTERM', received).on('SIGINT', received)
  return () => process.off('SIGTERM', received).off('SIGINT', received)
}
