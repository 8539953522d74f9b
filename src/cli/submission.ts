/** What is submitted for a plan, and what is said about where it will run. */
import type { PlanView } from '../client/client.ts'
import type { SubmitBody } from '../protocol/api.ts'
import type { RetryPolicy } from '../protocol/retry-policy.ts'
import { availableCpus } from '../worker/capabilities.ts'
import { hostId } from '../worker/host-id.ts'
import { addressesOf, serverOf, type Connection } from './connect.ts'
import type { FileNeeds } from './file-needs.ts'
import { labelsOf, letterKindsOf } from './flags.ts'
import { admissionFlag, afterFlag, deadlineFlag, priorityFlag, type NeedFlags } from './need-flags.ts'
import { counted } from './reporters/text-fit.ts'
import { retryOf } from './retry-flag.ts'
import { runsBefore } from './suites-before.ts'
import { longestChainMs } from '../scheduling/chain.ts'
import type { RunPlan } from './run-plan.ts'

export type SubmissionFlags = Pick<NeedFlags, 'deadline' | 'admission' | 'after' | 'user' | 'priority'> & {
  readonly workers?: number
  readonly cpus?: number
  readonly retries?: number
  readonly retry?: readonly string[]
  /** Of the run that is repeated, instead of the configuration's. */
  readonly policy?: RetryPolicy
  readonly maxFailures?: number
  readonly label?: readonly string[]
  readonly deadLetters?: string
  readonly env?: readonly string[]
  readonly setup?: string
  readonly server?: string
  /** Runs that the same command has submitted, by suite; null: it leaves this one out. */
  readonly ours?: ReadonlyMap<string, string | null>
}

export type RunTimes = { readonly taskMs: number | undefined; readonly noWorkerMs: number }

const taskTimeoutMs = 30 * 60_000

/** Of each host: all, unless a process of the framework has no use for them. What is left other runs can have. */
export function cpusOf({ serial }: Pick<RunPlan, 'serial'>, { cpus }: { readonly cpus?: number }): { cpus?: number } {
  if (cpus !== undefined) return { cpus }
  return serial ? { cpus: 1 } : {}
}

/** Uploads what the coordinator lacks of the workspace, when it is another host's. */
export async function submission(
  connection: Connection,
  plan: RunPlan,
  flags: SubmissionFlags,
  times: RunTimes,
): Promise<SubmitBody> {
  const { suite } = plan
  const retry = retryOf(flags.retry ?? [], flags.policy ?? suite.retry)
  const place = isElsewhere(connection, flags)
    ? await (
        await import('./travel.ts')
      ).travel(connection.client, suite, flags.setup ?? suite.setup, [
        ...(plan.detected.config?.env ?? []),
        ...(flags.env ?? []),
      ])
    : { cwd: suite.project.cwd, workspace: { type: 'in-place' as const, host: hostId() }, env: suite.project.env }
  const after = [...afterFlag(flags.after), ...(await runsBefore(connection.client, plan, flags.ours))]
  const letterKinds = flags.deadLetters === undefined ? {} : { deadLetters: letterKindsOf(flags.deadLetters) }
  return {
    framework: suite.detection.framework,
    frameworkVersion: suite.detection.version,
    suite: suite.name,
    project: plan.project,
    cwd: place.cwd,
    workspace: place.workspace,
    files: [...plan.files],
    fileBytes: [...plan.fileBytes],
    paths: [...plan.paths],
    args: [...plan.args],
    complete: plan.complete,
    ...cpusOf(plan, flags),
    ...(flags.workers === undefined ? {} : { workersMax: flags.workers }),
    retries: flags.retries ?? suite.retries ?? 0,
    ...(retry === undefined ? {} : { retry }),
    taskTimeoutMs: times.taskMs ?? suite.timeoutMs ?? taskTimeoutMs,
    maxFailures: flags.maxFailures ?? 0,
    priority: priorityFlag(flags.priority ?? suite.order?.priority) ?? 0,
    ...orderOf(plan, flags),
    ...(after.length === 0 ? {} : { after }),
    labels: { ...suite.labels, ...labelsOf(flags.label ?? []) },
    noWorkerTimeoutMs: times.noWorkerMs,
    // They would be gone with this run's own coordinator.
    ...(connection.kind === 'embedded' ? { deadLetters: [] } : letterKinds),
    context: {
      env: { ...place.env },
      detection: suite.detection,
      ...(suite.command === undefined ? {} : { suite: suite.command }),
    },
  }
}

/** What is needed, in which order, and by when. */
function orderOf({ needs, suite: { order = {} } }: RunPlan, flags: SubmissionFlags): Partial<SubmitBody> {
  const deadline = deadlineFlag(flags.deadline ?? order.deadline)
  const admission = admissionFlag(flags.admission ?? order.admission)
  const { onDependencyFailure } = order
  return {
    ...(needs.needs.length === 0 ? {} : { needs: [...needs.needs], kinds: [...needs.kinds] }),
    ...(needs.dependencies.length === 0
      ? {}
      : { dependencies: needs.dependencies.map(({ task, after }) => ({ task, after: [...after] })) }),
    ...(needs.dependencies.length === 0 || onDependencyFailure === undefined ? {} : { onDependencyFailure }),
    ...(deadline === undefined ? {} : { deadline }),
    ...(deadline === undefined || admission === undefined ? {} : { admission }),
    ...(flags.user === undefined ? {} : { user: flags.user }),
  }
}

function isElsewhere(connection: Connection, flags: SubmissionFlags): boolean {
  if (connection.kind !== 'server') return false
  return !addressesOf(serverOf(flags) ?? '').every((address) => address.startsWith('unix:'))
}

export function placeOf(
  connection: Connection,
  known: PlanView,
  flags: SubmissionFlags,
  why: string | undefined,
): { readonly words: string; readonly cpus: number; readonly cpusOfOne: number } {
  if (connection.kind !== 'server') {
    const cpus = Math.min(flags.cpus ?? Infinity, availableCpus())
    const words = `this host (${counted(cpus, 'CPU')})`
    return { words: why === undefined ? words : `${words}, ${fallbackWords(why)}`, cpus, cpusOfOne: cpus }
  }
  const workers = known.workers.filter((worker) => worker.state === 'idle' || worker.state === 'busy')
  const offered = workers.map((worker) => Math.min(worker.cpus, flags.cpus ?? Infinity))
  const cpus = offered.reduce((sum, one) => sum + one, 0)
  const fleet = `${counted(workers.length, 'worker')}, ${counted(cpus, 'CPU')}`
  return { words: `${connection.client.transport.address} (${fleet})`, cpus, cpusOfOne: Math.max(1, ...offered) }
}

export function fallbackWords(why: string): string {
  return `local fallback: ${why}`
}

/** Undefined while nothing is known of the files, or nobody is there to run them. `cpusOfOne`: those of the largest host. */
export function predict(known: PlanView, cpus: number, needs?: FileNeeds, cpusOfOne = 1): number | undefined {
  const durations = known.durationsMs.filter((one) => one !== null)
  if (durations.length === 0 || cpus === 0) return undefined
  const mean = durations.reduce((sum, one) => sum + one, 0) / durations.length
  const longest = durations.reduce((most, one) => Math.max(most, one), 0)
  const startupMs = known.startupMs ?? 0
  const free = startupMs + Math.max((mean * known.durationsMs.length) / cpus, longest)
  if (needs === undefined) return free
  const guesses = { meanMs: mean, startupMs, cpusOfOne }
  return Math.max(free, chainedMs(known, needs, guesses), ...lockedMs(known, needs, guesses))
}

/** What files that come one after another take, each in a process of its own. */
function chainedMs(known: PlanView, { dependencies }: FileNeeds, { meanMs, startupMs }: Guesses): number {
  const after = new Map<number, number[]>()
  for (const { task, after: before } of dependencies)
    for (const one of before) {
      const list = after.get(one)
      if (list) list.push(task)
      else after.set(one, [task])
    }
  return longestChainMs(after, (file) => startupMs + (known.durationsMs[file] ?? meanMs))
}

type Guesses = { readonly meanMs: number; readonly startupMs: number; readonly cpusOfOne: number }

/** For each lock, what the processes that hold it take one after another, or so many at a time. */
function lockedMs(known: PlanView, { needs, kinds }: FileNeeds, { meanMs, startupMs, cpusOfOne }: Guesses): number[] {
  const groups = needs.map(() => ({ files: 0, allMs: 0, longestMs: 0 }))
  for (const [at, kind] of kinds.entries()) {
    const group = groups[kind]!
    const ownMs = known.durationsMs[at] ?? meanMs
    group.files += 1
    group.allMs += ownMs
    group.longestMs = Math.max(group.longestMs, ownMs)
  }
  const locked = new Map<string, number>()
  for (const [kind, { locks = [], batchMax, cpus = cpusOfOne }] of needs.entries()) {
    const { files, allMs, longestMs } = groups[kind]!
    const processes = Math.ceil(files / (batchMax ?? Infinity)) || Math.min(1, files)
    // A process with several CPUs runs several of its files at once, and holds the lock once for all of them.
    const lanes = Math.max(1, Math.min(cpus, cpusOfOne, batchMax ?? Infinity))
    const workMs = Math.max(allMs / lanes, longestMs)
    for (const lock of locks) {
      if (lock.mode === 'shared') continue
      const takesMs = (workMs + processes * startupMs) / (lock.mode === 'counted' ? lock.max : 1)
      locked.set(lock.name, (locked.get(lock.name) ?? 0) + takesMs)
    }
  }
  return [...locked.values()]
}
