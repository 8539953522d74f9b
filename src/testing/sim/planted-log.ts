/** Planted bugs of coordinators: what a mistake about the log would do, as wrappers of the log's port. */
import type { AppendOutcome, LogPort } from '../../coordinator/ports.ts'
import { decodeEntry } from '../../core/events.ts'
import type { Entry } from '../../log/log.ts'
import type { Assign } from '../../protocol/worker-messages.ts'
import type { Planted } from './sabotage.ts'

/** A port that is as it was, but for some calls. */
export function changed(port: LogPort, changes: Partial<LogPort>): LogPort {
  return {
    append: (...given) => port.append(...given),
    claim: (...given) => port.claim(...given),
    leadership: (done) => port.leadership(done),
    head: (done) => port.head(done),
    read: (...given) => port.read(...given),
    snapshot: (done) => port.snapshot(done),
    tail: (...given) => port.tail(...given),
    ...changes,
  }
}

/** The leader takes an append for done when it has sent it. */
const answersBeforeDurable: Planted = {
  name: 'answers before it is durable',
  profile: 'safety',
  seedsMax: 20,
  checks: ['nobody is ahead of the log', 'acknowledged means durable', 'a leader has written leader.started'],
  log: (port, { clock }) =>
    changed(port, {
      append(epoch, position, bytes, done) {
        port.append(epoch, position, bytes, () => {})
        clock.soon(() => done({ type: 'ok' }))
      },
    }),
}

/** Workers are told of a batch while its assignment is still on its way to the log. */
const dispatchesBeforeCommit: Planted = {
  name: 'dispatches before commit',
  profile: 'safety',
  seedsMax: 20,
  checks: ['nothing is dispatched before it is in the log'],
  log: (port, { ledger, tellWorker }) =>
    changed(port, {
      append(epoch, position, bytes, done) {
        for (const event of decodeEntry(bytes).events) {
          if (event.type !== 'batch.assigned') continue
          const run = ledger.runs.get(event.run)
          if (run)
            tellWorker(
              event.worker,
              assignOf(event, run.spec, (index) => run.tasks[index]?.file ?? ''),
            )
        }
        port.append(epoch, position, bytes, done)
      },
    }),
}

function assignOf(
  event: { batch: string; token: number; run: string; tasks: readonly number[]; cpus: number },
  spec: Pick<Assign, 'framework' | 'cwd' | 'workspace' | 'context' | 'paths' | 'args' | 'taskTimeoutMs'>,
  fileOf: (index: number) => string,
): Assign {
  const { framework, cwd, workspace, context, paths, args, taskTimeoutMs } = spec
  const { batch, token, run, tasks, cpus } = event
  const files = tasks.map(fileOf)
  return {
    type: 'assign',
    batch,
    token,
    run,
    tasks,
    cpus,
    files,
    framework,
    cwd,
    workspace,
    context,
    paths,
    args,
    taskTimeoutMs,
    complete: false,
  }
}

/** After an unknown outcome the same events are written again, one position on. */
const retriesElsewhere: Planted = {
  name: 'retries at a new position',
  profile: 'harsh',
  seedsMax: 30,
  checks: [
    'positions are contiguous',
    'a run is submitted once',
    'the log can be applied',
    'only queued tasks are assigned',
    'equal positions, equal states',
    'a term begins with leader.started',
    'one leader.started per epoch',
    'a task starts after its assignment',
    'no coordinator gives up',
    'nobody is ahead of the log',
  ],
  log(port) {
    let shift = 0
    let shiftedEpoch = 0
    return changed(port, {
      append(epoch, position, bytes, done) {
        if (epoch !== shiftedEpoch) shift = 0
        shiftedEpoch = epoch
        const attempt = (): void =>
          port.append(epoch, position + shift, bytes, (outcome) => {
            if (outcome.type !== 'unknown' && outcome.type !== 'taken') return done(outcome)
            shift += 1
            attempt()
          })
        attempt()
      },
    })
  },
}

/** The new leader goes on from what it happens to know. */
const leadsWithoutCatchUp: Planted = {
  name: 'leads without catching up',
  profile: 'harsh',
  seedsMax: 60,
  checks: [
    'equal positions, equal states',
    'the log can be applied',
    'only queued tasks are assigned',
    'one leader.started per epoch',
    'a task starts after its assignment',
    'tokens only grow',
    'a run is submitted once',
    'no coordinator gives up',
    'no machine breaks',
  ],
  log(port, { store }) {
    let claimed = false
    return changed(port, {
      claim: (from, owner, done) =>
        port.claim(from, owner, (head) => {
          claimed = typeof head === 'object'
          // It is told that there is nothing to read.
          done(typeof head === 'object' ? { ...head, position: 0 } : head)
        }),
      read(from, maxBytes, done) {
        if (claimed) port.head(() => done({ type: 'entries', entries: [] }))
        else port.read(from, maxBytes, done)
      },
      append(epoch, _position, bytes, done) {
        // And writes behind whatever is there.
        if (claimed) port.append(epoch, store.lastPosition + 1, bytes, done)
        else port.append(epoch, _position, bytes, done)
      },
      leadership: (done) =>
        port.leadership((leadership) => {
          claimed = false
          done(leadership)
        }),
    })
  },
}

/** Two may claim the same epoch. */
const claimsWithoutComparing: Planted = {
  name: 'claims without comparing',
  profile: 'harsh',
  seedsMax: 40,
  checks: ['one leader.started per epoch', 'no coordinator gives up', 'a leader has written leader.started'],
  log: (port, { store }) =>
    changed(port, {
      claim: (from, owner, done) =>
        port.claim(from, owner, (head) => done(head === 'lost' ? { ...store.head() } : head)),
    }),
}

const trimsTooFar: Planted = {
  name: 'trims before there is a snapshot',
  profile: 'safety',
  seedsMax: 40,
  checks: ['trim stays behind a snapshot'],
  trimsFirst: true,
}

/** A follower numbers what it is handed, instead of looking at the numbers. */
const skipsHoles: Planted = {
  name: 'a follower skips a hole',
  profile: 'harsh',
  seedsMax: 60,
  checks: [
    'equal positions, equal states',
    'no coordinator gives up',
    'no machine breaks',
    'nobody is ahead of the log',
  ],
  log(port) {
    let next = 0
    return changed(port, {
      tail(from, handlers) {
        next = from
        return port.tail(from, {
          entries: (entries) => handlers.entries(entries.map((entry): Entry => ({ ...entry, position: next++ }))),
          claimed: (leadership) => handlers.claimed(leadership),
          resumed: () => handlers.resumed(),
        })
      },
      read: (from, maxBytes, done) =>
        port.read(from, maxBytes, (result) => {
          if (result?.type === 'entries') next = Math.max(next, (result.entries.at(-1)?.position ?? next - 1) + 1)
          done(result)
        }),
    })
  },
}

/** Once an append's outcome was unknown it is given up, and state goes on without it. */
const forgetsUnknown: Planted = {
  name: 'takes an unknown append for written',
  profile: 'harsh',
  seedsMax: 60,
  checks: [
    'nobody is ahead of the log',
    'acknowledged means durable',
    'positions are contiguous',
    'a leader has written leader.started',
  ],
  log: (port) =>
    changed(port, {
      append: (epoch, position, bytes, done) =>
        port.append(epoch, position, bytes, (outcome: AppendOutcome) =>
          done(outcome.type === 'unknown' ? { type: 'ok' } : outcome),
        ),
    }),
}

export const plantedInLog: readonly Planted[] = [
  answersBeforeDurable,
  dispatchesBeforeCommit,
  retriesElsewhere,
  leadsWithoutCatchUp,
  claimsWithoutComparing,
  trimsTooFar,
  skipsHoles,
  forgetsUnknown,
]
