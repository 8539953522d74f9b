/**
 * What is kept, within one round, for runs that come first and can't be given it yet. Without that, what needs much
 * would wait for as long as anything comes that needs little: a run for a whole host behind ones for a CPU, one for two
 * GPUs behind ones for one, one for an exclusive lock behind ones that share it. A group that waits for CPUs or memory
 * keeps the worker, and one that waits for a host for itself keeps the host; one that waits for GPUs or counted resources
 * keeps only those, all of them, so that the worker's CPUs don't lie idle; one that waits for its project's or user's
 * quota keeps that. Whatever it waits for, it keeps its locks (of a counted one as many places as it can use; unless that
 * is taken for long, see soon.ts) and its anti-affinity's place too: else, when one is free at last, another one would just have been taken.
 */
import type { Lock, Need, RunId, WorkerId } from '../core/entities.ts'
import { scopesOf, type Obstacle } from '../core/holdings.ts'
import { ruleOfScope } from '../core/shares.ts'
import type { Run, State, Worker } from '../core/state.ts'

/** `places`: so many of a counted lock's. */
type KeptLock = { readonly run: RunId; readonly lock: Lock; places: number }

/** What a batch takes of the quotas of its project and user. */
type Part = { readonly cpus: number; readonly gpus: number }

export class Reservations {
  /** Whole workers, and the run for which. */
  readonly workers = new Map<WorkerId, RunId>()
  readonly #hosts = new Set<string>()
  /** Hosts, by the anti-affinity whose place is kept there. */
  readonly #apart = new Map<string, Set<string>>()
  /** Workers whose cards are kept, and by the name of a counted resource those of which that is. */
  readonly #gpus = new Set<WorkerId>()
  readonly #resources = new Map<string, Set<WorkerId>>()
  readonly #locks = new Map<string, KeptLock[]>()
  readonly #scopes = new Map<string, RunId>()
  readonly #quotaParts = new Map<string, Part & { readonly run: RunId }>()
  readonly #before: Reservations | undefined

  /** `before`: what strategies keep that have had their turn. */
  constructor(before?: Reservations) {
    this.#before = before
  }

  /** Returns whether the whole worker is kept, and not only a part of what it has. */
  keepWorker(run: Run, worker: Worker, need: Need, obstacle: Obstacle): boolean {
    const { host } = worker.capabilities
    if (need.antiAffinity !== undefined) addTo(this.#apart, need.antiAffinity, host)
    switch (obstacle.type) {
      case 'gpus':
      case 'resource':
        if (need.gpus !== undefined) this.#gpus.add(worker.id)
        for (const name in need.resources) addTo(this.#resources, name, worker.id)
        return false
      // It gets the host as soon as the other batch has ended.
      case 'anti-affinity':
        return false
      default:
        if (obstacle.type === 'exclusive') this.#hosts.add(host)
        if (!this.workers.has(worker.id)) this.workers.set(worker.id, run.id)
        return true
    }
  }

  /** `batches`: no more of the run could begin if they had everything; of a counted lock each takes one place. */
  keepLocks(run: Run, { locks = [] }: Need, batches: number): void {
    for (const lock of locks) {
      const kept = this.#locks.get(lock.name)
      const own = kept?.find((one) => one.run === run.id && one.lock.mode === lock.mode)
      if (own) own.places += batches
      else if (kept) kept.push({ run: run.id, lock, places: batches })
      else this.#locks.set(lock.name, [{ run: run.id, lock, places: batches }])
    }
  }

  /** What a project or user has a quota of goes to the run of it that waits first. */
  keepScope(run: Run, scope: string): void {
    if (!this.#scopes.has(scope)) this.#scopes.set(scope, run.id)
  }

  /** Of a quota that is not spent: as much as one batch takes, for the run of it that waits for something else first. */
  keepQuotaPart({ shares }: State, run: Run, part: Part): void {
    for (const scope of scopesOf(run)) {
      const rule = ruleOfScope(shares, scope)
      if (rule?.cpus === undefined && rule?.gpus === undefined) continue
      if (!this.#quotaParts.has(scope)) this.#quotaParts.set(scope, { ...part, run: run.id })
    }
  }

  /** Whether anything is kept of quotas that are not spent. */
  get keepsQuotaParts(): boolean {
    return this.#quotaParts.size > 0 || this.#before?.keepsQuotaParts === true
  }

  /** A batch of the run leaves what is kept of quotas for those before it. */
  leavesQuota(state: State, run: Run, { cpus, gpus }: Part): boolean {
    if (this.#before?.leavesQuota(state, run, { cpus, gpus }) === false) return false
    if (this.#quotaParts.size === 0) return true
    return scopesOf(run).every((scope) => {
      const kept = this.#quotaParts.get(scope)
      if (kept === undefined || kept.run === run.id) return true
      const rule = ruleOfScope(state.shares, scope)
      const spent = state.spent.get(scope)
      if (rule?.cpus !== undefined && (spent?.cpus ?? 0) + cpus + kept.cpus > rule.cpus) return false
      if (rule?.gpus === undefined || gpus === 0 || kept.gpus === 0) return true
      return (spent?.gpus ?? 0) + gpus + kept.gpus <= rule.gpus
    })
  }

  /** Nobody before it waits for the quota of its project or user. */
  maySpend(run: Run): boolean {
    if (this.#before?.maySpend(run) === false) return false
    if (this.#scopes.size === 0) return true
    return scopesOf(run).every((scope) => (this.#scopes.get(scope) ?? run.id) === run.id)
  }

  /** Nobody before it waits for one of its locks, unless both would share it or it is counted and has a place to spare. */
  mayLock({ locks: held }: State, run: Run, need: Need): boolean {
    if (need.locks === undefined) return true
    return need.locks.every((lock) => {
      const before = this.#keptLocks(lock.name).filter((one) => one.run !== run.id)
      if (before.length === 0) return true
      if (before.some((one) => one.lock.mode !== lock.mode)) return false
      return lock.mode === 'shared' || leavesPlace(lock, before, held.get(lock.name)?.size ?? 0)
    })
  }

  /** Also by those that had their turn before. */
  #keptLocks(name: string): readonly KeptLock[] {
    const own = this.#locks.get(name) ?? []
    return this.#before === undefined ? own : [...this.#before.#keptLocks(name), ...own]
  }

  /** Whatever anybody needs of it. */
  keepsAll(worker: Worker): boolean {
    if (this.workers.has(worker.id) || this.#hosts.has(worker.capabilities.host)) return true
    return this.#before?.keepsAll(worker) === true
  }

  /** Nothing is kept of any worker that this need asks for. */
  leavesAll(need: Need): boolean {
    if (this.#before?.leavesAll(need) === false) return false
    if (this.workers.size > 0 || this.#hosts.size > 0) return false
    if (need.antiAffinity !== undefined && this.#apart.has(need.antiAffinity)) return false
    if (need.gpus !== undefined && this.#gpus.size > 0) return false
    if (this.#resources.size > 0) for (const name in need.resources) if (this.#resources.has(name)) return false
    return true
  }

  /** Nobody before it waits for the worker, or for what it needs of it. */
  mayUse(worker: Worker, need: Need): boolean {
    const { host } = worker.capabilities
    if (this.#before?.mayUse(worker, need) === false) return false
    if (this.workers.has(worker.id) || this.#hosts.has(host)) return false
    if (need.antiAffinity !== undefined && this.#apart.get(need.antiAffinity)?.has(host)) return false
    if (need.gpus !== undefined && this.#gpus.has(worker.id)) return false
    if (this.#resources.size > 0)
      for (const name in need.resources) if (this.#resources.get(name)?.has(worker.id)) return false
    return true
  }
}

/** Whether one more holder leaves everybody that comes first as many places as are kept for it, by how many each of them allows. */
function leavesPlace(lock: Lock, before: readonly KeptLock[], holders: number): boolean {
  if (lock.mode !== 'counted') return false
  let max = lock.max
  let places = 0
  for (const one of before) {
    if (one.lock.mode === 'counted') max = Math.min(max, one.lock.max)
    places += one.places
  }
  return holders + places < max
}

function addTo(sets: Map<string, Set<string>>, name: string, one: string): void {
  const set = sets.get(name)
  if (set) set.add(one)
  else sets.set(name, new Set([one]))
}
