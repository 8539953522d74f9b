/**
 * What batches hold while they run: CPUs, memory, GPUs, counted resources, locks, a host for themselves, and a place
 * under their project's and user's quotas. All of it is taken by `batch.assigned` and given back by `batch.ended`, in
 * here and nowhere else, so that nothing is held by nobody. Everything follows from the batches: a snapshot doesn't
 * hold it.
 */
import { freeCards, useCards } from './cards.ts'
import type { Capabilities, Gpu, Grant, GpuNeed, Lock, Need } from './entities.ts'
import { gpuFits, ownNumber } from './fit.ts'
import { noteSpent } from './queue-changes.ts'
import { ruleOfScope, type Shares } from './shares.ts'
import { countRunning, emptySpent, spendBatch, spentHoursMs } from './spent.ts'
import type { Batch, Held, Placed, Run, State, Worker } from './state.ts'

export function emptyHeld(): Held {
  return { memoryBytes: 0, resources: new Map() }
}

export const freeNeed: Need = {}

/** Names under which every batch is counted, and those that want their host for themselves. */
const anything = 'batch'
const alone = 'exclusive'

export function needOf(run: Run, kind: number): Need {
  return run.spec.needs?.[kind] ?? freeNeed
}

/**
 * CPUs that a batch gets on this worker: what is asked for, at most the whole host. One that asks for GPUs and not for
 * CPUs gets as large a part of the host's CPUs as of its GPUs, by their memory where it shares them.
 */
export function cpusOf(run: Run, need: Need, worker: Worker): number {
  const { cpus: all, gpus } = worker.capabilities
  const asked = need.cpus ?? run.spec.cpus
  if (asked === undefined && need.gpus !== undefined && gpus !== undefined && gpus.length > 0)
    return Math.max(1, Math.floor(all * partOfGpus(need.gpus, gpus)))
  return Math.max(1, Math.min(asked ?? all, all))
}

/** 1 = all of them. */
function partOfGpus(need: GpuNeed, gpus: readonly Gpu[]): number {
  const { count, exclusive = true, memoryBytes = 0 } = need
  if (exclusive || memoryBytes === 0) return count / gpus.length
  const whole = gpus.reduce((sum, gpu) => sum + gpu.memoryBytes, 0)
  return (count * memoryBytes) / whole
}

/** How many batches of this need the worker can hold at once, when nothing else is on it. */
export function slotsOn(run: Run, need: Need, worker: Worker): number {
  const { capabilities } = worker
  if (need.exclusive || !sharesHost(need)) return 1
  let slots = Math.floor(capabilities.cpus / cpusOf(run, need, worker))
  if (need.memoryBytes) slots = Math.min(slots, Math.floor(capabilities.memoryBytes / need.memoryBytes))
  for (const name in need.resources)
    slots = Math.min(slots, Math.floor(ownNumber(capabilities.resources, name) / need.resources[name]!))
  if (need.gpus) {
    const { count, exclusive = true, memoryBytes = 0 } = need.gpus
    let holders = 0
    for (const gpu of capabilities.gpus ?? []) {
      if (!gpuFits(need.gpus, gpu)) continue
      holders += exclusive ? 1 : memoryBytes === 0 ? Infinity : Math.floor(gpu.memoryBytes / memoryBytes)
    }
    slots = Math.min(slots, Math.floor(holders / count))
  }
  return Math.max(1, slots)
}

/**
 * Whether a host may take several batches of one run with this need. Without a word about CPUs or GPUs, the framework
 * shall use the host as it sees fit, and a second process would only cost another start-up.
 */
export function sharesHost(need: Need): boolean {
  return need.cpus !== undefined || need.gpus !== undefined
}

/** Most batches at once in the whole cluster, as far as locks go. */
export function slotsByLocks(need: Need): number {
  let slots = Infinity
  for (const lock of need.locks ?? [])
    if (lock.mode !== 'shared') slots = Math.min(slots, lock.mode === 'counted' ? lock.max : 1)
  return slots
}

/** Most batches at once that the quotas of its project and its user leave it, were they all like one on this worker. */
export function slotsByQuota(shares: Shares, run: Run, need: Need, worker: Worker): number {
  if (shares.size === 0) return Infinity
  let slots = Infinity
  for (const scope of scopesOf(run)) {
    const rule = ruleOfScope(shares, scope)
    if (rule?.cpus !== undefined) slots = Math.min(slots, Math.floor(rule.cpus / cpusOf(run, need, worker)))
    if (rule?.gpus !== undefined && need.gpus) slots = Math.min(slots, Math.floor(rule.gpus / need.gpus.count))
  }
  return Math.max(1, slots)
}

/** Something that is in the way of a batch, by its kind; `by` names the batches, the scope or the resource. */
export type Obstacle =
  | { readonly type: 'cpus' | 'memory' | 'gpus' | 'exclusive'; readonly free: number; readonly wanted: number }
  | { readonly type: 'resource'; readonly name: string; readonly free: number; readonly wanted: number }
  | { readonly type: 'anti-affinity'; readonly name: string }

/** Why a batch of this need can't begin on this worker now; undefined = it can. The worker fits. */
export function obstacleOn(state: State, run: Run, need: Need, worker: Worker): Obstacle | undefined {
  const { capabilities, held } = worker
  const wanted = cpusOf(run, need, worker)
  const free = capabilities.cpus - worker.cpusUsed
  if (wanted > free) return { type: 'cpus', free, wanted }
  // Of the whole host, which may have several workers.
  if (countPlaced(state.placed, need.exclusive ? anything : alone, worker) > 0)
    return { type: 'exclusive', free: 0, wanted: 1 }
  if (need.memoryBytes !== undefined) {
    const left = capabilities.memoryBytes - held.memoryBytes
    if (need.memoryBytes > left) return { type: 'memory', free: left, wanted: need.memoryBytes }
  }
  for (const name in need.resources) {
    const left = ownNumber(capabilities.resources, name) - (held.resources.get(name) ?? 0)
    if (need.resources[name]! > left) return { type: 'resource', name, free: left, wanted: need.resources[name]! }
  }
  if (need.gpus !== undefined) {
    const ids = freeCards(state, worker, need.gpus)
    if (ids.length < need.gpus.count) return { type: 'gpus', free: ids.length, wanted: need.gpus.count }
  }
  if (need.antiAffinity !== undefined && countPlaced(state.placed, `anti ${need.antiAffinity}`, worker) > 0)
    return { type: 'anti-affinity', name: need.antiAffinity }
  return undefined
}

/** Whether the run's own batches on the worker suffice to be in the way: with nobody else there it could not begin either. */
export function waitsForItself(state: State, run: Run, need: Need, worker: Worker): boolean {
  if (run.batches.size === 0) return false
  const { capabilities } = worker
  let cpus = 0
  let memoryBytes = need.memoryBytes ?? 0
  let taken: Set<string> | undefined
  for (const id of worker.batches) {
    if (!run.batches.has(id)) continue
    const batch = state.batches.get(id)!
    const own = needOf(run, batch.kind)
    if (need.exclusive || own.exclusive || !sharesHost(need)) return true
    cpus += batch.cpus
    memoryBytes += own.memoryBytes ?? 0
    // Shared ones leave room, and how much depends on the others there.
    if (need.gpus === undefined || (need.gpus.exclusive === false && own.gpus?.exclusive === false)) continue
    for (const gpu of batch.grant?.gpus ?? []) taken = (taken ?? new Set()).add(gpu)
  }
  if (cpus === 0) return false
  if (cpus + cpusOf(run, need, worker) > capabilities.cpus || memoryBytes > capabilities.memoryBytes) return true
  for (const name in need.resources)
    if (ownResource(state, run, worker, name) + need.resources[name]! > ownNumber(capabilities.resources, name))
      return true
  if (need.gpus === undefined || taken === undefined) return false
  const left = (capabilities.gpus ?? []).filter((gpu) => gpuFits(need.gpus!, gpu) && !taken.has(gpu.id))
  return left.length < need.gpus.count
}

/** What the run's batches on the worker have of a counted resource. */
function ownResource(state: State, run: Run, worker: Worker, name: string): number {
  let count = 0
  for (const id of worker.batches)
    if (run.batches.has(id)) count += ownNumber(needOf(run, state.batches.get(id)!.kind).resources, name)
  return count
}

/** What a batch of this need is given on a worker without obstacles; undefined = nothing but CPUs. */
export function grantOf(state: State, worker: Worker, need: Need): Grant | undefined {
  if (need.memoryBytes === undefined && need.gpus === undefined) return undefined
  return {
    ...(need.memoryBytes === undefined ? {} : { memoryBytes: need.memoryBytes }),
    ...(need.gpus === undefined ? {} : { gpus: freeCards(state, worker, need.gpus).slice(0, need.gpus.count) }),
  }
}

/** What is wrong with a grant that somebody chose; undefined = nothing. */
export function grantFault(state: State, worker: Worker, need: Need, grant: Grant | undefined): string | undefined {
  if (grant?.memoryBytes !== need.memoryBytes)
    return `expected ${need.memoryBytes ?? 0} bytes of memory, received ${grant?.memoryBytes ?? 0}`
  const wanted = need.gpus?.count ?? 0
  const chosen = grant?.gpus ?? []
  if (chosen.length !== wanted || new Set(chosen).size !== wanted)
    return `expected ${wanted} different GPUs, received ${chosen.length}`
  if (wanted === 0) return undefined
  const free = new Set(freeCards(state, worker, need.gpus!))
  const taken = chosen.find((id) => !free.has(id))
  return taken === undefined ? undefined : `GPU ${taken} is not free or does not fit`
}

export function holdsBatchOf(run: Run, worker: Worker): boolean {
  if (run.batches.size === 0) return false
  for (const id of worker.batches) if (run.batches.has(id)) return true
  return false
}

/** The first lock that a batch of this need would have to wait for, and who holds it. */
export function lockInTheWay(
  state: State,
  need: Need,
): { readonly lock: Lock; readonly holders: string[] } | undefined {
  for (const lock of need.locks ?? []) {
    const holders = state.locks.get(lock.name)
    if (holders !== undefined && !mayJoin(lock, holders)) return { lock, holders: [...holders.keys()] }
  }
  return undefined
}

/** Whether a batch of this need would have to wait for a lock. */
export function isLocked({ locks }: State, need: Need): boolean {
  if (need.locks === undefined) return false
  for (const lock of need.locks) {
    const holders = locks.get(lock.name)
    if (holders !== undefined && !mayJoin(lock, holders)) return true
  }
  return false
}

function mayJoin(lock: Lock, holders: ReadonlyMap<string, Lock>): boolean {
  if (holders.size === 0) return true
  if (lock.mode === 'exclusive') return false
  for (const held of holders.values()) {
    // Kinds don't mix: who counts can't know what sharing means to the others.
    if (held.mode !== lock.mode) return false
    // Those that share it are all alike.
    if (held.mode === 'shared') return true
    if (held.mode === 'counted' && holders.size >= held.max) return false
  }
  return lock.mode !== 'counted' || holders.size < lock.max
}

/** A quota that a batch would exceed: whose, of what. */
export type QuotaHit = { readonly scope: string; readonly of: 'cpus' | 'gpus' | 'cpuHours'; readonly max: number }

export type Scopes = readonly [project: string, user: string]

/** They are asked for at every turn, and of many runs they are the same: then they are one object. */
const scopes = new WeakMap<Run, Scopes>()
const scopesMax = 10_000
/** By user and project: those of late, and those before. So many new ones in a row are needed to forget one. */
let scopesOfLate = new Map<string, Scopes>()
let scopesBefore = new Map<string, Scopes>()

export function scopesOf(run: Run): Scopes {
  let known = scopes.get(run)
  if (known === undefined) {
    known = findScopes(run.spec.project, run.spec.user ?? run.who.replace(/^client:/, ''))
    scopes.set(run, known)
  }
  return known
}

function findScopes(project: string, user: string): Scopes {
  const key = `${user.length}:${user}${project}`
  let known = scopesOfLate.get(key)
  if (known) return known
  known = scopesBefore.get(key) ?? [`project:${project}`, `user:${user}`]
  if (scopesOfLate.size >= scopesMax) {
    scopesBefore = scopesOfLate
    scopesOfLate = new Map()
  }
  scopesOfLate.set(key, known)
  return known
}

/** A scope that has none may always have one batch, however small its quotas of CPUs and GPUs: else it would wait for ever. */
export function quotaInTheWay(state: State, run: Run, need: Need, cpus: number, nowMs: number): QuotaHit | undefined {
  if (state.shares.size === 0) return undefined
  for (const scope of scopesOf(run)) {
    const rule = ruleOfScope(state.shares, scope)
    if (!rule) continue
    const spent = state.spent.get(scope)
    const gpus = need.gpus?.count ?? 0
    if (rule.cpus !== undefined && spent !== undefined && spent.batches > 0 && spent.cpus + cpus > rule.cpus)
      return { scope, of: 'cpus', max: rule.cpus }
    if (rule.gpus !== undefined && gpus > 0 && spent !== undefined && spent.gpus > 0 && spent.gpus + gpus > rule.gpus)
      return { scope, of: 'gpus', max: rule.gpus }
    if (rule.cpuHours !== undefined && spent !== undefined && spentHoursMs(spent, nowMs) >= rule.cpuHours * 3_600_000)
      return { scope, of: 'cpuHours', max: rule.cpuHours }
  }
  return undefined
}

/** Whether its project or user may hold so many CPUs at most. */
export function hasCpuQuota({ shares }: State, run: Run): boolean {
  if (shares.size === 0) return false
  for (const scope of scopesOf(run)) if (ruleOfScope(shares, scope)?.cpus !== undefined) return true
  return false
}

/** Whether a batch of so many CPUs is more than a quota allows at all; it may only run where nothing else of that quota does. */
export function isBeyondQuota(state: State, run: Run, cpus: number): boolean {
  return scopesOf(run).some((scope) => cpus > (ruleOfScope(state.shares, scope)?.cpus ?? Infinity))
}

function countPlaced(placed: Placed, name: string, worker: Worker): number {
  return placed.get(name)?.get(worker.capabilities.host) ?? 0
}

/** How many batches of the need's spread run on the worker's host. */
export function spreadOn(state: State, need: Need, worker: Worker): number {
  return need.spread === undefined ? 0 : countPlaced(state.placed, `spread ${need.spread}`, worker)
}

const warmMax = 32

/** Called by `apply`, when the batch is new or comes from a snapshot. */
export function takeHoldings(state: State, run: Run, batch: Batch): void {
  const worker = state.workers.get(batch.worker)!
  const need = needOf(run, batch.kind)
  move(state, run, worker, batch, need, 1)
  for (const lock of need.locks ?? []) {
    let holders = state.locks.get(lock.name)
    if (!holders) {
      holders = new Map()
      state.locks.set(lock.name, holders)
    }
    holders.set(batch.id, lock)
    if (lock.mode === 'exclusive') state.lockedAlone.add(lock.name)
  }
}

/** The worker has run something of this affinity. */
export function warmUp(worker: Worker, { affinity }: Need): void {
  if (affinity === undefined || worker.warm.at(-1) === affinity) return
  worker.warm = [...worker.warm.filter((name) => name !== affinity), affinity].slice(-warmMax)
}

/** Called by `apply` when the batch has ended, for whatever reason. */
export function giveBackHoldings(state: State, run: Run, batch: Batch, atMs: number): void {
  const worker = state.workers.get(batch.worker)!
  const need = needOf(run, batch.kind)
  move(state, run, worker, batch, need, -1)
  for (const lock of need.locks ?? []) {
    const holders = state.locks.get(lock.name)!
    holders.delete(batch.id)
    if (lock.mode === 'exclusive') state.lockedAlone.delete(lock.name)
    if (holders.size === 0) state.locks.delete(lock.name)
  }
  for (const scope of scopesOf(run)) {
    const spent = state.spent.get(scope)!
    spendBatch(spent, batch, atMs)
    // As it is after a snapshot: of who has nothing and has had nothing, nothing is known.
    if (spent.batches === 0 && spent.slots.length === 0) state.spent.delete(scope)
  }
}

function move(state: State, run: Run, worker: Worker, batch: Batch, need: Need, by: 1 | -1): void {
  const { held } = worker
  worker.cpusUsed += by * batch.cpus
  noteFree(state, worker)
  held.memoryBytes += by * (need.memoryBytes ?? 0)
  placeAll(state, worker, need, batch.grant, by)
  for (const name in need.resources) add(held.resources, name, by * need.resources[name]!)
  for (const scope of scopesOf(run)) {
    let spent = state.spent.get(scope)
    if (!spent) {
      spent = emptySpent()
      state.spent.set(scope, spent)
    }
    spent.cpus += by * batch.cpus
    spent.gpus += by * (batch.grant?.gpus?.length ?? 0)
    spent.batches += by
    countRunning(spent, batch, by)
  }
  noteSpent(state, { run: run.id, worker: worker.id, scopes: scopesOf(run), assignedAtMs: batch.assignedAtMs, by })
}

/** Where it counts by the host. */
function placeAll({ placed, cards }: State, worker: Worker, need: Need, grant: Grant | undefined, by: 1 | -1): void {
  place(placed, anything, worker, by)
  if (need.exclusive) place(placed, alone, worker, by)
  if (need.antiAffinity !== undefined) place(placed, `anti ${need.antiAffinity}`, worker, by)
  if (need.spread !== undefined) place(placed, `spread ${need.spread}`, worker, by)
  if (grant?.gpus !== undefined) useCards(cards, worker.capabilities.host, need.gpus!, grant, by)
}

/** Called by `apply`: the worker has other capabilities now, and perhaps its host another name. */
export function offer(state: State, worker: Worker, capabilities: Capabilities): void {
  const batches = [...worker.batches].map((id) => {
    const { run, kind, grant } = state.batches.get(id)!
    return { need: needOf(state.runs.get(run)!, kind), grant }
  })
  for (const { need, grant } of batches) placeAll(state, worker, need, grant, -1)
  worker.capabilities = capabilities
  for (const { need, grant } of batches) placeAll(state, worker, need, grant, 1)
  noteFree(state, worker)
}

/** Keeps the index of workers with CPUs to give; placement looks at no others. */
export function noteFree(state: State, worker: Worker): void {
  if (worker.cpusUsed < worker.capabilities.cpus) state.free.add(worker.id)
  else state.free.delete(worker.id)
}

function add(counts: Map<string, number>, name: string, by: number): void {
  const count = (counts.get(name) ?? 0) + by
  if (count === 0) counts.delete(name)
  else counts.set(name, count)
}

function place(placed: Placed, name: string, worker: Worker, by: number): void {
  let hosts = placed.get(name)
  if (!hosts) {
    hosts = new Map()
    placed.set(name, hosts)
  }
  add(hosts, worker.capabilities.host, by)
  if (hosts.size === 0) placed.delete(name)
}
