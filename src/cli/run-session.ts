/**
 * The steps from a plan to a result that a command takes once for each suite: list, ask history, submit, follow. The
 * coordinator, the patience with it and Ctrl-C are the command's, so that several suites share them.
 */
import { randomUUID } from 'node:crypto'
import type { PlanView } from '../client/client.ts'
import { SeveralAddresses } from '../client/several-addresses.ts'
import { MusterError } from '../protocol/errors.ts'
import type { FeedMessage } from '../protocol/run-view.ts'
import { callersTrace } from '../telemetry/traces/trace-context.ts'
import type { RunFlags } from './run-flags.ts'
import type { Connection } from './connect.ts'
import { fallbackOf, type RunCoordinator } from './fallback.ts'
import type { Interrupts } from './interrupts.ts'
import type { Patience } from './persist.ts'
import type { Reporter, RunInfo } from './reporters/reporter.ts'
import { planRun, type RunPlan } from './run-plan.ts'
import { cpusOf, placeOf, predict, submission, type RunTimes } from './submission.ts'

const submitAwayMaxMs = 20_000
/** A cluster that just lost its leader has another one by then. */
const unreadyMaxMs = 10_000
/** Several addresses are hardly all wrong: it is this host's own network, and that may be back in a moment. */
const severalAwayMaxMs = 5000

export type Session = {
  readonly coordinator: RunCoordinator
  readonly interrupts: Interrupts
  readonly times: RunTimes & { readonly patienceMs: number }
}

export type Planned = { readonly plan: RunPlan; readonly known: PlanView }

/** What would run, and what history knows of it. Throws where there is nothing, unless that is allowed. */
export async function planSuite(session: Session, flags: RunFlags): Promise<Planned | { readonly plan: RunPlan }> {
  const { coordinator, interrupts } = session
  const patience = (connection: Connection) => patienceWith(connection, coordinator)
  const plan = await interrupts.before(
    planRun(
      flags,
      (path, config) => {
        coordinator.fallback = fallbackOf(flags.fallback, config?.fallback)
        return coordinator.ask(patience, ({ client }) => client.get(path))
      },
      interrupts.signal,
    ),
  )
  coordinator.fallback = fallbackOf(flags.fallback, plan.detected.config?.fallback)
  if (plan.files.length === 0) {
    if (flags.passWithNoTests) return { plan }
    throw new MusterError('no_tests', noTestsWords(flags, plan), {
      hint: "'muster doctor' says what was detected here.",
    })
  }
  const asked = {
    project: plan.project,
    suite: plan.suite.name,
    files: [...plan.files],
    framework: plan.suite.detection.framework,
    fileBytes: [...plan.fileBytes],
  }
  const known = await interrupts.before(coordinator.ask(patience, ({ client }) => client.plan(asked)))
  return { plan, known }
}

function patienceWith(connection: Connection, coordinator: RunCoordinator): Patience {
  if (connection.kind !== 'server') return { awayMaxMs: submitAwayMaxMs, unreadyMaxMs }
  // A server that isn't there is most likely a wrong address.
  const several = connection.client.transport instanceof SeveralAddresses
  return { awayMaxMs: several && coordinator.fallback === 'none' ? severalAwayMaxMs : 0, unreadyMaxMs }
}

export async function infoOf({ coordinator }: Session, { plan, known }: Planned, flags: RunFlags): Promise<RunInfo> {
  const given = { ...flags, ...cpusOf(plan, flags) }
  const where = placeOf(await coordinator.connection, known, given, coordinator.why)
  const predictedMs = predict(known, where.cpus, plan.needs, where.cpusOfOne)
  return {
    framework: plan.suite.detection.framework,
    frameworkVersion: plan.suite.detection.version,
    suite: plan.suite.name,
    planned: plan.files.length,
    where: where.words,
    knownRatio: known.knownRatio,
    ...(predictedMs === undefined ? {} : { predictedMs }),
  }
}

/** What the feed says, and in it, once, what the coordinator warns of. */
export function toReporters(reporters: readonly Reporter[]): (message: FeedMessage) => void {
  let isWarned = false
  const show = (message: FeedMessage): void => {
    for (const reporter of reporters) reporter.message(message)
    const { warnings = [] } = message.type === 'snapshot' || message.type === 'run' ? message.run : {}
    if (isWarned || warnings.length === 0) return
    // Once: what they say changes with every second that passes.
    isWarned = true
    for (const text of warnings) show({ type: 'notice', level: 'warning', text })
  }
  return show
}

/** The id of the run. Where several tries are needed, or another coordinator, it is one run all the same. */
export async function submitPlan(
  { coordinator, times, interrupts }: Session,
  plan: RunPlan,
  flags: RunFlags,
  say: (text: string) => void,
): Promise<string> {
  // The key makes repeating harmless when the answer got lost.
  const key = randomUUID()
  const bodies = new Map<Connection, ReturnType<typeof submission>>()
  const submitted = await coordinator.ask(
    () => ({
      awayMaxMs: submitAwayMaxMs,
      // Whoever wants a busy coordinator's runs made here doesn't want to wait for it.
      busyMaxMs: coordinator.fallback === 'local-when-busy' ? 0 : times.patienceMs,
      onBusy: say,
      signal: interrupts.signal,
    }),
    async (connection) => {
      const body = bodies.get(connection) ?? interrupts.before(submission(connection, plan, flags, times))
      bodies.set(connection, body)
      try {
        return await connection.client.submit(await body, key, callersTrace())
      } catch (error) {
        // An upload that broke off is begun again.
        if (!(await body.then(() => true).catch(() => false))) bodies.delete(connection)
        throw error
      }
    },
  )
  return submitted.run
}

function noTestsWords(flags: RunFlags, plan: RunPlan): string {
  const { detection, project } = plan.suite
  const what = flags.paths.length > 0 ? ` that match ${flags.paths.join(' ')}` : ''
  const shard = flags.shard === undefined ? '' : ` in shard ${flags.shard}`
  return `${detection.framework} has no test files${what}${shard} in ${project.cwd}`
}
