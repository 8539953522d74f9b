/**
 * Bugs that the simulator must find: each is what a plausible mistake would do, put between the real
 * machines and their ports. That one of them is no longer found means that the simulator has gone
 * blind there; a test says so. Here: those of workers, and of what coordinators say to them.
 */
import type { LogPort } from '../../coordinator/ports.ts'
import type { Leadership } from '../../log/log.ts'
import type { CoordinatorMessage } from '../../protocol/worker-messages.ts'
import { changed, plantedInLog } from './planted-log.ts'
import { plantedInNeeds } from './planted-needs.ts'
import type { Fault, Order, Plan } from './plan.ts'
import { planOf } from './plan-generator.ts'
import type { LogSetting, Planted } from './sabotage.ts'

/** What a worker says of a batch that was taken from it counts for whoever has the task now. */
const acceptsStale: Planted = {
  name: 'accepts a stale attempt',
  profile: 'harsh',
  seedsMax: 400,
  checks: [
    "a result is its own worker's",
    'results are what a sequential run gives',
    'a task starts after its assignment',
    'a report ends the current attempt',
  ],
  input(input, ledger) {
    if (input.type !== 'report') return input
    const batch = ledger.batches.get(input.batch)
    const [first] = input.reports
    if (batch?.endedAt === undefined || first === undefined) return input
    const holder = ledger.runs.get(batch.run)?.tasks[first.task]?.batch
    const now = holder === undefined ? undefined : ledger.batches.get(holder)
    return now ? { ...input, worker: now.worker, batch: now.id, token: now.token } : input
  },
  // Nor is it told that the batch is no longer its own.
  toWorker: (message, held) => (message.type === 'welcome' ? { ...message, keep: held } : message),
}

/** A worker that is cut off lets its processes run on. */
const neverFences: Planted = {
  name: 'never fences itself',
  profile: 'harsh',
  seedsMax: 300,
  checks: ['a task runs once at a time', 'no host runs more than it has'],
  workerPorts: (ports) => {
    const fenced = new Set<string>()
    return {
      ...ports,
      end(batch, reason, why) {
        if (reason === 'fenced') fenced.add(batch)
        else ports.end(batch, reason, why)
      },
      // Called before `end`: it can't be told yet for whom, so the next instant decides.
      kill: () => {},
    }
  },
}

/** A leader that was replaced takes its own word for it that it still leads. */
function neverAsks(port: LogPort, { clock }: LogSetting): LogPort {
  let own: Leadership | undefined
  return changed(port, {
    claim: (from, owner, done) =>
      port.claim(from, owner, (head) => {
        own = typeof head === 'object' ? { epoch: head.epoch, owner } : undefined
        done(head)
      }),
    leadership: (done) => (own ? clock.soon(() => done(own)) : port.leadership(done)),
  })
}

const answersWithoutAsking: Planted = {
  name: 'says that there is nothing to do without asking',
  profile: 'harsh',
  seedsMax: 40,
  plan: (seed) => zombiePlan(seed, 500),
  checks: ['later callers see later positions'],
  log: neverAsks,
}

/** And workers obey it like any other: each of the two alone would do no harm here. */
const ignoresEpochs: Planted = {
  name: 'a worker ignores epochs',
  profile: 'harsh',
  seedsMax: 40,
  plan: (seed) => zombiePlan(seed, 2000),
  checks: ['only what is lost is abandoned'],
  log: neverAsks,
  toWorker: (message) => (message.type === 'welcome' ? { ...message, epoch: Number.MAX_SAFE_INTEGER } : message),
}

/** A report is acknowledged when it comes in, not when it is recorded. */
const acknowledgesAtOnce: Planted = {
  name: 'acknowledges reports at once',
  profile: 'safety',
  seedsMax: 20,
  checks: ['reports are acknowledged when they are in the log'],
  answer: (message): CoordinatorMessage | undefined =>
    message.type === 'reported' || message.type === 'ended' ? { type: 'ack', seq: message.seq } : undefined,
}

/** A coordinator that is cut off from all but workers and clients; workers are made to change over while they have much to do. */
function zombiePlan(seed: number, submitAtMs: number): Plan {
  const span = { atMs: 1000, forMs: 6000 }
  const zombie = `c${1 + (seed % 3)}`
  const others = ['log', 'c1', 'c2', 'c3'].filter((name) => name !== zombie)
  const cuts = others.flatMap((other): Fault[] => [
    { type: 'cut', who: zombie, to: other, ...span },
    { type: 'cut', who: other, to: zombie, ...span },
  ])
  const resets = Array.from({ length: 30 }, (_, at): Fault => {
    return { type: 'reset', who: `w${1 + (at % 2)}`, to: others[1 + ((at >> 1) % 2)]!, atMs: 2200 + at * 100, forMs: 0 }
  })
  // Asked of the one that was replaced, the second and later of these change nothing there.
  const pauses = Array.from({ length: 10 }, (_, at): Order => {
    return { type: at === 0 ? 'pause' : 'resume', atMs: 3000 + at * 100, client: 1, run: 'r1' }
  })
  const tasks = Array.from({ length: 12 }, () => 'slow' as const)
  const size = { retries: 1, maxFailures: 0, open: false, cpus: 1, backoffMs: 0, broken: false, elsewhere: false }
  return {
    ...planOf(seed, 'harsh'),
    coordinators: 3,
    workers: [2, 2],
    clients: 1,
    old: [],
    orders: [{ type: 'submit', atMs: submitAtMs, client: 1, run: 'r1', tasks, ...size }, ...pauses],
    faults: [...cuts, ...resets],
    mendedAtMs: 7500,
  }
}

export const planted: readonly Planted[] = [
  ...plantedInLog,
  ...plantedInNeeds,
  acceptsStale,
  neverFences,
  answersWithoutAsking,
  ignoresEpochs,
  acknowledgesAtOnce,
]
