/**
 * Circuit breakers as state: per scope where it stands, what happened in the last minutes, and which
 * batches are probes. A scope is a worker, a class of tasks (project and suite), or something outside
 * that the coordinator calls. Outcomes are counted in a ring of ten-second buckets, by the times of log
 * entries, so that followers and replays count the same; how much of the ring matters is a limit, and
 * asked only when something is decided.
 */
import type { BatchId, RunSpec, WorkerId } from './entities.ts'
import type { BreakerCounts, BreakerStand } from './events.ts'

export type Bucket = {
  /** Start, in units of bucketMs. */
  readonly slot: number
  ok: number
  failed: number
  /** Workers with failures. */
  readonly workers: WorkerId[]
}

export type Breaker = {
  readonly scope: string
  stand: BreakerStand
  /** Oldest first. */
  buckets: Bucket[]
  /** How often it has opened without a long time closed in between: what the cool-down grows with. */
  opens: number
  movedAtMs: number
  /** When it last left closed. */
  leftClosedAtMs: number | undefined
  /** End of the cool-down; undefined for one that is not open, or that a person holds open. */
  untilMs: number | undefined
  who: string
  why: string
  /** Batches that try out whether it can close. */
  readonly probes: Set<BatchId>
  /** How a probe has ended, until the breaker moves because of it. */
  probed: 'ok' | 'failed' | undefined
}

export type Breakers = {
  /** The one touched last is last. */
  readonly byScope: Map<string, Breaker>
  /** Scopes of those that are open or half-open; nearly always empty. */
  readonly notClosed: Set<string>
}

export function emptyBreakers(): Breakers {
  return { byScope: new Map(), notClosed: new Set() }
}

// ---- scopes ----

export type ScopeKind = 'worker' | 'class' | 'integration'

export function workerScope(worker: WorkerId): string {
  return `worker:${worker}`
}

export function classScope(spec: Pick<RunSpec, 'project' | 'suite'>): string {
  return `class:${spec.project}/${spec.suite}`
}

export function integrationScope(name: string): string {
  return `integration:${name}`
}

/** Undefined when the text is no scope. */
export function scopeKind(scope: string): ScopeKind | undefined {
  return /^(worker|class|integration):./.exec(scope)?.[1] as ScopeKind | undefined
}

// ---- counting ----

const bucketMs = 10_000
/** Ten minutes: the longest window. */
const bucketsMax = 60
/** Beyond this, closed breakers that nothing has touched for longest are forgotten. */
const breakersMax = 2_000

export const windowMaxMs = bucketMs * bucketsMax

export function breakerAt(breakers: Breakers, scope: string, atMs: number): Breaker {
  let breaker = breakers.byScope.get(scope)
  if (breaker) breakers.byScope.delete(scope)
  else {
    breaker = {
      scope,
      stand: 'closed',
      buckets: [],
      opens: 0,
      movedAtMs: atMs,
      leftClosedAtMs: undefined,
      untilMs: undefined,
      who: '',
      why: '',
      probes: new Set(),
      probed: undefined,
    }
  }
  breakers.byScope.set(scope, breaker)
  if (breakers.byScope.size > breakersMax) forgetIdle(breakers)
  return breaker
}

function forgetIdle(breakers: Breakers): void {
  for (const [scope, breaker] of breakers.byScope) {
    if (breakers.byScope.size <= breakersMax) return
    if (breaker.stand === 'closed') breakers.byScope.delete(scope)
  }
}

export function count(breaker: Breaker, atMs: number, ok: number, failed: number, worker?: WorkerId): void {
  const slot = Math.floor(atMs / bucketMs)
  let bucket = breaker.buckets.at(-1)
  if (bucket?.slot !== slot) {
    bucket = { slot, ok: 0, failed: 0, workers: [] }
    breaker.buckets.push(bucket)
    while (breaker.buckets[0]!.slot <= slot - bucketsMax) breaker.buckets.shift()
  }
  bucket.ok += ok
  bucket.failed += failed
  if (failed > 0 && worker !== undefined && !bucket.workers.includes(worker)) bucket.workers.push(worker)
}

/** What happened within the window that ends now. */
export function countsOf(breaker: Breaker, nowMs: number, windowMs: number): BreakerCounts {
  const first = Math.floor((nowMs - windowMs) / bucketMs) + 1
  let ok = 0
  let failed = 0
  const workers = new Set<WorkerId>()
  for (const bucket of breaker.buckets) {
    if (bucket.slot < first) continue
    ok += bucket.ok
    failed += bucket.failed
    for (const worker of bucket.workers) workers.add(worker)
  }
  return { ok, failed, workers: workers.size }
}

// ---- snapshot ----

export type BreakerData = Omit<Breaker, 'probes'> & { readonly probes: readonly BatchId[] }

export function captureBreakers(breakers: Breakers): readonly BreakerData[] {
  return [...breakers.byScope.values()].map((breaker) => ({ ...breaker, probes: [...breaker.probes] }))
}

export function restoreBreakers(data: readonly BreakerData[] | undefined): Breakers {
  const breakers = emptyBreakers()
  for (const given of data ?? []) {
    const { leftClosedAtMs, untilMs, probed } = given
    const buckets = given.buckets.map((bucket) => ({ ...bucket, workers: [...bucket.workers] }))
    const breaker = { ...given, leftClosedAtMs, untilMs, probed, buckets, probes: new Set(given.probes) }
    breakers.byScope.set(breaker.scope, breaker)
    if (breaker.stand !== 'closed') breakers.notClosed.add(breaker.scope)
  }
  return breakers
}
