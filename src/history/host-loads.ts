/**
 * How busy each host was while a file ran: how many others ran beside it, averaged over its time. Per
 * host, an integral of the number of running files over time goes on with every start and end; the
 * difference of two readings, over the time between them, is the average (Little's law read backwards).
 * So it costs the same for one file as for a thousand, and counts the files of every project and run.
 *
 * Nothing of it is stored: after a restart, files whose start was not seen have no load, which is not
 * the same as none.
 */
export type Machine = { readonly host: string; readonly cpus: number; readonly speed: number | null }

/** A reading of its host's integral, when a file began. */
export type Started = { readonly atMs: number; readonly fileMs: number }

/** Columns of an attempt. */
export type Circumstances = {
  readonly speed: number | null
  readonly beside: number | null
  readonly host_cpus: number | null
}

type Host = {
  atMs: number
  /** Milliseconds that files have run, added up. */
  fileMs: number
  running: number
  /** How many of a batch run. */
  readonly batches: Map<string, number>
}

export class HostLoads {
  readonly #machines = new Map<string, Machine>()
  readonly #hosts = new Map<string, Host>()
  /** How many workers a host has. */
  readonly #workers = new Map<string, number>()

  joined(worker: string, machine: Machine): void {
    this.#count(this.#machines.get(worker)?.host, -1)
    this.#count(machine.host, 1)
    this.#machines.set(worker, machine)
  }

  /** Machines that come for a day and go must not pile up here. */
  left(worker: string): void {
    const machine = this.#machines.get(worker)
    this.#machines.delete(worker)
    const host = machine?.host ?? worker
    this.#count(machine?.host, -1)
    if (!this.#workers.has(host)) this.#hosts.delete(host)
  }

  #count(host: string | undefined, by: number): void {
    if (host === undefined) return
    const count = (this.#workers.get(host) ?? 0) + by
    if (count > 0) this.#workers.set(host, count)
    else this.#workers.delete(host)
  }

  speedOf(worker: string): number | null {
    return this.#machines.get(worker)?.speed ?? null
  }

  started(worker: string, batch: string, atMs: number): Started {
    const host = this.#at(worker, atMs)
    host.running += 1
    host.batches.set(batch, (host.batches.get(batch) ?? 0) + 1)
    return { atMs, fileMs: host.fileMs }
  }

  /** Of one file; `started` is null when its start wasn't seen. */
  ended(worker: string, batch: string, started: Started | null, atMs: number): Circumstances {
    const { speed = null, cpus = null } = this.#machines.get(worker) ?? {}
    let beside: number | null = null
    if (started !== null) {
      const host = this.#at(worker, atMs)
      const tookMs = atMs - started.atMs
      // Of one that began and ended in the same entry, those that run now tell.
      beside = Math.max(0, tookMs > 0 ? (host.fileMs - started.fileMs - tookMs) / tookMs : host.running - 1)
      const left = (host.batches.get(batch) ?? 0) - 1
      if (left >= 0) {
        host.running -= 1
        if (left === 0) host.batches.delete(batch)
        else host.batches.set(batch, left)
      }
    }
    return { speed, beside, host_cpus: cpus }
  }

  /** Whatever of it ran, runs no more. */
  batchEnded(worker: string, batch: string, atMs: number): void {
    const host = this.#at(worker, atMs)
    host.running -= host.batches.get(batch) ?? 0
    host.batches.delete(batch)
  }

  /** The worker's host, moved on to this moment. */
  #at(worker: string, atMs: number): Host {
    const name = this.#machines.get(worker)?.host ?? worker
    let host = this.#hosts.get(name)
    if (host === undefined) {
      host = { atMs, fileMs: 0, running: 0, batches: new Map() }
      this.#hosts.set(name, host)
    }
    if (atMs > host.atMs) {
      host.fileMs += host.running * (atMs - host.atMs)
      host.atMs = atMs
    }
    return host
  }
}
