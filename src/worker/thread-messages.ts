/**
 * What the agent (main thread) and the executor (its worker thread) say to each other. Reports come
 * as ready-made JSON text, so that the agent's loop never serialises or parses anything large; the
 * agent only puts the sequence number in front.
 */
import type { Assign } from '../protocol/worker-messages.ts'
import type { Endpoint } from './endpoint.ts'
import type { ReportKind } from './held-batch.ts'

export type ToExecutor =
  /** `environment`: over that of the run; undefined = not set. */
  | {
      readonly type: 'assign'
      readonly assign: Assign
      readonly environment: Readonly<Record<string, string | undefined>>
    }
  /** Its processes are being ended by the agent; the batch ends for this reason. */
  | { readonly type: 'end'; readonly batch: string; readonly reason: 'cancelled' | 'fenced'; readonly why: string }
  /** As end, but nothing is reported: the coordinator doesn't know this batch any more. */
  | { readonly type: 'abandon'; readonly batch: string }
  /** Answer to `exited`: nothing that the process started is left. */
  | { readonly type: 'cleaned'; readonly pid: number; readonly killed: number }
  /** The worker is connected to the coordinator of this index. */
  | { readonly type: 'connected'; readonly index: number }
  /** Nothing runs: remove the workspaces and what is damaged in the cache; `cleared` answers. */
  | { readonly type: 'clear' }
  | { readonly type: 'ping' }

export type FromExecutor =
  /** A process group of its own, led by `pid`. */
  | { readonly type: 'spawned'; readonly batch: string; readonly pid: number }
  | { readonly type: 'exited'; readonly batch: string; readonly pid: number }
  /** SIGTERM now, SIGKILL after graceMs. */
  | { readonly type: 'terminate'; readonly batch: string; readonly graceMs: number }
  /** `body` is a JSON object without `seq`; `tasks` are those it concerns (started, reported). */
  | {
      readonly type: 'report'
      readonly kind: ReportKind
      readonly batch: string
      readonly body: string
      readonly tasks: readonly number[]
    }
  | { readonly type: 'live'; readonly body: string }
  /** The batch was abandoned and is gone. */
  | { readonly type: 'abandoned'; readonly batch: string }
  | { readonly type: 'cleared' }
  | { readonly type: 'pong' }
  | { readonly type: 'log'; readonly level: LogLevel; readonly message: string }

export type LogLevel = 'debug' | 'info' | 'warning' | 'error'
export type WorkerLog = (level: LogLevel, message: string) => void

export type ExecutorOptions = {
  readonly worker: string
  /** Of the coordinators; not parsed, since a URL can't be posted to a thread. */
  readonly coordinators: readonly Pick<Endpoint, 'url' | 'token'>[]
  readonly dataDir: string
  /** Temporary directories of attempts are made here. */
  readonly tempRoot: string
  /** Module that exports `runnersByName`; tests put their own here. */
  readonly runnersModule: string
  readonly diskBytesMax: number
  /** NODE_COMPILE_CACHE of its environment is meant for the thread alone. */
  readonly ownCompileCache?: boolean
}
