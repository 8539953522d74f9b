/** Why something waits, in words: one sentence for each reason. For people, never for decisions. */
import { cpusOf, quotaInTheWay } from '../core/holdings.ts'
import type { Run } from '../core/state.ts'
import { formatDuration } from '../stdx/duration.ts'
import { escapedName } from '../stdx/plain-text.ts'
import type { Interval, Silence, WatchedView } from './expected.ts'
import type { Fleets, View } from './fleet.ts'
import type { Lack } from './nearest.ts'
import type { Holder, Reason } from './reason.ts'
import { afterReason, classReason, lockReason, nobodyReason } from './reasons.ts'
import { quotaReason } from './worker-reasons.ts'

export function reasonWords(reason: Reason, nowMs: number): string {
  switch (reason.type) {
    case 'paused':
      return "paused; 'muster resume' goes on"
    case 'cancelling':
      return `is being cancelled (${reason.why})`
    case 'after-runs': {
      const [first] = reason.runs
      const passed = first!.when === 'passed' ? ' and pass' : ''
      return `waits for run ${first!.run}${others(reason.count)} to end${passed} (it is ${first!.state})`
    }
    case 'after-tasks': {
      const [first] = reason.tasks
      return `comes after ${escapedName(first!.file)}${others(reason.count)} (it is ${first!.state})`
    }
    case 'back-off':
      return `waits out its back-off for another ${inWords(reason.untilMs, nowMs)} before it is tried again`
    case 'class-breaker':
      return classWords(reason, nowMs)
    case 'workers-max':
      return `the run is on ${reason.max} ${reason.max === 1 ? 'worker' : 'workers'} already, and asked for no more`
    case 'lock':
      return `waits for lock '${reason.name}', held by ${holderWords(reason.holders[0]!, nowMs)}${others(reason.count)}`
    case 'lock-kept':
      return `its lock is kept for run ${reason.run}, which comes first and waits, too`
    case 'quota-kept':
      return `what is left of its project's or user's quota is kept for run ${reason.run}, which comes first`
    case 'no-worker':
      return 'no worker is connected'
    case 'worker-breakers': {
      const whose = reason.count === 1 ? 'the only worker that fits' : `all ${reason.count} workers that fit`
      return `the breaker of ${whose} is open; 'muster breakers' says why`
    }
    case 'no-fit':
      return noFitWords(reason)
    case 'quota': {
      const until = reason.freeAtMs === undefined ? '' : `; again in ${inWords(reason.freeAtMs, nowMs)}`
      const used = Math.round(reason.used * 100) / 100
      return `${reason.scope} has ${used} of its quota of ${reason.max} ${quotaUnit(reason)}${until}`
    }
    case 'busy':
      return busyWords(reason, nowMs)
    case 'reserved':
      return `${countOf(reason.count, 'worker')} that fits is kept for run ${reason.run}, which comes first`
    case 'recycling':
      return `worker ${reason.name} is being recycled, for another ${inWords(reason.untilMs, nowMs)} at most`
    case 'probing':
      return `${countOf(reason.count, 'worker')} that fits is being tried with a few files first (its breaker is half-open)`
    case 'avoided':
      return `should not run on ${countOf(reason.count, 'free worker')} after what happened there, for another ${inWords(reason.untilMs, nowMs)} or until another is free`
    case 'sooner-elsewhere': {
      const who = countOf(reason.count, 'free worker')
      return `left to those at work on it, who should be done with all of it in ${inWords(reason.doneMs, nowMs)}: ${who} is so slow that it would take longer for any file of it`
    }
    case 'scheduler':
      return `a worker is free for it; scheduler '${reason.strategy}' has not placed it`
  }
}

function quotaUnit({ of, max }: Extract<Reason, { type: 'quota' }>): string {
  const s = max === 1 ? '' : 's'
  return of === 'cpuHours' ? `CPU-hour${s} in an hour` : `${of === 'cpus' ? 'CPU' : 'GPU'}${s} at once`
}

function classWords({ scope, stand, untilMs, why }: Extract<Reason, { type: 'class-breaker' }>, nowMs: number): string {
  if (stand === 'half-open') return `${scope} is tried again with a few files (its breaker is half-open)`
  const until = untilMs === undefined ? 'until it is reset' : `for another ${inWords(untilMs, nowMs)}`
  return `${scope} waits behind its breaker ${until} (${why}); 'muster breakers reset ${scope}' ends that`
}

function noFitWords({
  connected,
  nearest: { name, lacks },
  unknown = [],
}: Extract<Reason, { type: 'no-fit' }>): string {
  const who =
    connected === 1 ? 'the only connected worker does not fit' : `none of the ${connected} connected workers fits`
  const none = unknown.map(
    (one) =>
      `; no connected worker has an attribute '${one.name}'${one.similar === undefined ? '' : ` (did you mean '${one.similar}'?)`}`,
  )
  return `${who}: ${lackWords(lacks, name)}${none.join('')}`
}

/** `needs gpu.memory >= 24GiB; nearest: worker gpu-2 has 16 GiB` */
export function lackWords(lacks: readonly Lack[], name: string): string {
  const found = lacks.map(({ wanted, found: is }) => {
    const attribute = lacks.length > 1 ? `${wanted.split(/ (?:==|!=|>=|<=|<|>|in|has|matches|not) ?/)[0]} ` : ''
    if (is === 'is draining') return is
    return is === undefined ? `${attribute}none` : `${attribute}${is}`
  })
  const has = found.length === 1 && found[0] === 'is draining' ? found[0] : `has ${found.join(', ')}`
  return `needs ${lacks.map((lack) => lack.wanted).join(' and ')}; nearest: worker ${name} ${has}`
}

function busyWords({ workers, count }: Extract<Reason, { type: 'busy' }>, nowMs: number): string {
  const [first] = workers
  const who = count === 1 ? 'the only worker that fits is busy' : `every worker that fits is busy (${count})`
  const holder = first!.holders[0]
  if (!holder) return `${who}; ${first!.name} has too little free (${first!.short})`
  if (holder.silent)
    return `${who}; ${first!.name} with run ${holder.run}; ${silentWords(holder.name, holder.silent, nowMs)}`
  // Cards and whole hosts count by host, which may have several workers.
  const whose = holder.worker === first!.worker ? '' : ` on ${holder.name}, of the same host`
  return `${who}; ${first!.name} with run ${holder.run}${whose}, for ${forWords(first!.free, nowMs)}`
}

function holderWords({ run, name, sinceMs, ends, silent }: Holder, nowMs: number): string {
  if (silent) return `run ${run}; ${silentWords(name, silent, nowMs)}`
  const since = `run ${run} on ${name} for ${formatDuration(Math.max(0, nowMs - sinceMs))}`
  return ends.outrun ? `${since}, ${outrunWords}` : `${since} and ${forWords(ends, nowMs)}`
}

/** What it was given is let go then: it goes after the subject's verb or a `;`. */
export function silentWords(name: string, { sinceMs, givenUpAtMs }: Silence, nowMs: number): string {
  const silentFor = sinceMs === undefined ? '' : ` for ${formatDuration(Math.max(0, nowMs - sinceMs))}`
  const within = sinceMs === undefined ? 'within' : 'in'
  return `nobody has heard from ${name}${silentFor}: unless it is back by then, this is let go ${within} ${inWords(givenUpAtMs, nowMs)}`
}

const outrunWords = 'longer than expected already; no history of it'

/** `another 41.0 s to 57.5 s`, or that nobody knows. */
export function forWords(ends: Interval, nowMs: number): string {
  return ends.outrun ? outrunWords : `another ${spanWords(ends, nowMs)}`
}

/** How long it is until then: `41.0 s to 57.5 s`, `about 3 m 05 s`, `up to 2.0 s`. */
export function spanWords({ fromMs, toMs }: Interval, nowMs: number): string {
  const from = Math.max(0, fromMs - nowMs)
  const to = Math.max(0, toMs - nowMs)
  if (to < 1000) return 'less than 1 s'
  if (from < 1000) return `up to ${formatDuration(to)}`
  const words = [formatDuration(from), formatDuration(to)]
  return words[0] === words[1] ? `about ${words[0]!}` : `${words[0]!} to ${words[1]!}`
}

function inWords(atMs: number, nowMs: number): string {
  return formatDuration(Math.max(0, atMs - nowMs))
}

function others(count: number): string {
  return count > 1 ? ` and ${count - 1} more` : ''
}

function countOf(count: number, noun: string): string {
  return count === 1 ? `1 ${noun}` : `each of ${count} ${noun}s`
}

/** Cheap enough to be asked for every run that is shown: the first thing that is in the way, looked at no closer than needed. */
export function waitingWords(view: WatchedView, run: Run, fleets: Fleets, nowMs: number): string | undefined {
  const { state } = view
  const after = afterReason(state, run)
  if (after) return reasonWords(after, nowMs)
  for (const group of run.groups) {
    if (group.queuedCount === 0) continue
    const { workers, busy } = fleets.of(run, group)
    if (workers.length === 0) return reasonWords(nobodyReason(view, run, group, fleets), nowMs)
    const lock = lockReason(view, group, nowMs)
    if (lock) return reasonWords(lock, nowMs)
    const [worker] = workers
    const quota = quotaInTheWay(state, run, group.need, cpusOf(run, group.need, worker!), nowMs)
    if (quota) return reasonWords(quotaReason(state, quota, nowMs), nowMs)
    if (busy === workers.length) return 'every worker that fits is busy'
  }
  return undefined
}

/** Of a run whose class of tasks is left alone for now; undefined for any other. */
export function behindClassWords(view: View, run: Run, nowMs: number): string | undefined {
  const reason = run.queuedCount === 0 ? undefined : classReason(view.state, run)
  return reason && reasonWords(reason, nowMs)
}
