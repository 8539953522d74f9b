/**
 * Where a planted bug may sit: between the real machines and what they are given. Each is a wrapper,
 * so that nothing in production code knows of them. Without one, everything passes as it is.
 */
import type { LogPort } from '../../coordinator/ports.ts'
import type { Input } from '../../core/input.ts'
import type { State } from '../../core/state.ts'
import type { CoordinatorMessage, WorkerMessage } from '../../protocol/worker-messages.ts'
import type { Scheduler } from '../../scheduling/strategy.ts'
import type { Clock } from '../../stdx/clock.ts'
import type { WorkerPorts } from '../../worker/protocol.ts'
import type { Ledger } from './ledger.ts'
import type { LogStore } from './log-store.ts'
import type { Plan, Profile } from './plan.ts'

export type LogSetting = {
  readonly store: LogStore
  readonly clock: Clock
  readonly coordinator: string
  readonly ledger: Ledger
  /** Straight to a worker that is connected to this coordinator. */
  readonly tellWorker: (worker: string, message: CoordinatorMessage) => void
}

export type Sabotage = {
  readonly name: string
  readonly log?: (port: LogPort, setting: LogSetting) => LogPort
  /** The log is trimmed before the snapshot is stored. */
  readonly trimsFirst?: boolean
  /** What a coordinator holds, whenever it may have changed. */
  readonly state?: (state: State) => void
  /** What its leader asks for placements. */
  readonly scheduler?: (scheduler: Scheduler) => Scheduler
  /** Of a report, before the leader sees it. */
  readonly input?: (input: Input, ledger: Ledger) => Input
  /** A worker's frame as its coordinator gets it; what is returned is sent back at once. */
  readonly answer?: (message: WorkerMessage) => CoordinatorMessage | undefined
  readonly workerPorts?: (ports: WorkerPorts) => WorkerPorts
  /** A frame as the worker gets it. */
  readonly toWorker?: (message: CoordinatorMessage, held: readonly string[]) => CoordinatorMessage
}

export type Planted = Sabotage & {
  readonly profile: Profile
  /** Found within so many seeds. */
  readonly seedsMax: number
  /** The rules that may catch it. */
  readonly checks: readonly string[]
  /** Where it matters too rarely for plans of its profile. */
  readonly plan?: (seed: number) => Plan
}

export const none: Sabotage = { name: 'none' }
