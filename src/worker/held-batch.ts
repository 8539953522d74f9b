/** A batch as the agent sees it: its process groups, and what was said of it to the coordinator. */
import type { Assign, Ended } from '../protocol/worker-messages.ts'
import { escapedDescendants, type ProcessRef, signalGroup, signalProcess } from './process-tree.ts'
import type { ReportKind } from './thread-messages.ts'

export class HeldBatch {
  readonly batch: string
  readonly token: number
  /** Leaders of the process groups that run for it. */
  readonly groups = new Set<number>()
  /** Sequence number of its `ended`; it is held until that is acknowledged. */
  endedSeq: number | undefined
  /** The coordinator doesn't know it any more. */
  abandoned = false
  readonly #begun = new Set<number>()
  #draining: { readonly tasks: Set<number>; readonly timer: NodeJS.Timeout; readonly over: () => void } | undefined
  readonly #heldSinceMs = performance.now()
  #killTimer: NodeJS.Timeout | undefined
  #killAtMs: number | undefined
  /** Processes below the leaders when the end began that had left their group. */
  #escaped: ProcessRef[] = []

  constructor(assign: Assign) {
    this.batch = assign.batch
    this.token = assign.token
  }

  spawned(pid: number): void {
    this.groups.add(pid)
    if (this.#killAtMs !== undefined) this.#tell(pid)
  }

  exited(pid: number): void {
    this.groups.delete(pid)
  }

  saw(kind: ReportKind, tasks: readonly number[]): void {
    if (kind === 'started') for (const task of tasks) this.#begun.add(task)
    if (kind !== 'reported') return
    for (const task of tasks) this.#begun.delete(task)
    for (const task of tasks) this.#draining?.tasks.delete(task)
    if (this.#draining?.tasks.size === 0) this.#drained()
  }

  /** Calls back once, when the tasks that run now have been reported, at the latest after `drainMs`. */
  whenDrained(drainMs: number, over: () => void): void {
    if (this.#draining !== undefined) return
    const timer = setTimeout(() => this.#drained(), drainMs)
    this.#draining = { tasks: new Set(this.#begun), timer, over }
    if (this.#begun.size === 0) this.#drained()
  }

  #drained(): void {
    const draining = this.#draining
    clearTimeout(draining?.timer)
    draining?.over()
  }

  /** SIGTERM to all its processes now, SIGKILL after graceMs; a shorter grace than before counts. */
  terminate(graceMs: number): void {
    const killAtMs = performance.now() + graceMs
    if (this.#killAtMs !== undefined && this.#killAtMs <= killAtMs) return
    this.#killAtMs = killAtMs
    clearTimeout(this.#killTimer)
    this.#killTimer = setTimeout(() => this.kill(), graceMs)
    for (const group of this.groups) this.#tell(group)
  }

  kill(): void {
    this.#killAtMs = 0
    clearTimeout(this.#killTimer)
    for (const group of this.groups) signalGroup(group, 'SIGKILL')
    for (const escaped of this.#escaped) signalProcess(escaped, 'SIGKILL')
    this.#escaped = []
  }

  close(): void {
    clearTimeout(this.#killTimer)
    clearTimeout(this.#draining?.timer)
  }

  /** What is reported when nobody else can say how it ended. */
  crashedBody(message: string): string {
    const ended: Omit<Ended, 'seq'> = {
      type: 'ended',
      batch: this.batch,
      token: this.token,
      reason: 'crashed',
      exitCode: null,
      signal: null,
      startupMs: null,
      wallMs: performance.now() - this.#heldSinceMs,
      interrupted: [...this.#begun],
      timedOut: [],
      errors: [],
      message,
    }
    return JSON.stringify(ended)
  }

  #tell(group: number): void {
    signalGroup(group, 'SIGTERM')
    void escapedDescendants(group).then((found) => {
      // The leader may be gone by now; then its children have other parents, and the mark finds them.
      for (const escaped of found) signalProcess(escaped, 'SIGTERM')
      this.#escaped.push(...found)
      if (this.#killAtMs === 0) this.kill()
    })
  }
}
