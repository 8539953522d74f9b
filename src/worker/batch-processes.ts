/** The process groups that run for one batch, and how they are ended: politely first, or at once. */
import { escapedDescendants, type ProcessRef, signalGroup, signalProcess } from './process-tree.ts'

export class BatchProcesses {
  /** Leaders of the process groups. */
  readonly groups = new Set<number>()
  #killTimer: NodeJS.Timeout | undefined
  #killAtMs: number | undefined
  /** Processes below the leaders when the end began that had left their group. */
  #escaped: ProcessRef[] = []

  spawned(pid: number): void {
    this.groups.add(pid)
    if (this.#killAtMs === 0) this.kill()
    else if (this.#killAtMs !== undefined) this.#tell(pid)
  }

  exited(pid: number): void {
    this.groups.delete(pid)
  }

  /** SIGTERM to all now, SIGKILL after graceMs; a shorter grace than before counts. */
  terminate(graceMs: number): void {
    const killAtMs = performance.now() + graceMs
    if (this.#killAtMs !== undefined && this.#killAtMs <= killAtMs) return
    this.#killAtMs = killAtMs
    clearTimeout(this.#killTimer)
    this.#killTimer = setTimeout(() => this.kill(), graceMs)
    for (const group of this.groups) this.#tell(group)
  }

  /** What is started for this batch later on is ended too. */
  kill(): void {
    this.#killAtMs = 0
    clearTimeout(this.#killTimer)
    for (const group of this.groups) signalGroup(group, 'SIGKILL')
    for (const escaped of this.#escaped) signalProcess(escaped, 'SIGKILL')
    this.#escaped = []
  }

  close(): void {
    clearTimeout(this.#killTimer)
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
