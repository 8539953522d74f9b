/** `muster run`: from a directory to a verdict. */
import { randomUUID } from 'node:crypto'
import { MusterError } from '../../protocol/errors.ts'
import type { PlanView } from '../../client/client.ts'
import { SeveralAddresses } from '../../client/several-addresses.ts'
import { callersTrace } from '../../telemetry/traces/trace-context.ts'
import type { Connection } from '../connect.ts'
import { exitCodeOf } from '../exit-code.ts'
import { fallbackOf, RunCoordinator } from '../fallback.ts'
import { durationFlag } from '../flags.ts'
import { Interrupts } from '../interrupts.ts'
import { checkNeedFlags } from '../need-flags.ts'
import { summarise, type Reporter } from '../reporters/reporter.ts'
import { parseReporters } from '../reporters/select.ts'
import { isSet } from '../reporters/terminal.ts'
import type { Patience } from '../persist.ts'
import { followRun } from '../run-follow.ts'
import { planRun, type PlanFlags, type RunPlan } from '../run-plan.ts'
import { awayMaxMs } from '../run-watch.ts'
import { fallbackWords, placeOf, predict, submission, type RunTimes, type SubmissionFlags } from '../submission.ts'
import { printPlan } from './dry-run.ts'

export type RunFlags = PlanFlags &
  SubmissionFlags & {
    readonly timeout?: string
    readonly token?: string
    readonly reporter: readonly string[]
    readonly json?: string | true
    readonly junit?: string
    readonly ctrf?: string
    readonly daemon: boolean
    readonly dryRun?: boolean
    readonly passWithNoTests?: boolean
    readonly waitForWorker?: string
    readonly waitForCoordinator?: string
    readonly fallback?: string
  }

const noWorkerTimeoutMs = 60_000
const submitAwayMaxMs = 20_000
/** A cluster that just lost its leader has another one by then. */
const unreadyMaxMs = 10_000
/** Several addresses are hardly all wrong: it is this host's own network, and that may be back in a moment. */
const severalAwayMaxMs = 5000

type Times = RunTimes & { readonly patienceMs: number }

export async function runCommand(flags: RunFlags): Promise<number> {
  checkNeedFlags(flags)
  const times: Times = {
    taskMs: durationFlag('--timeout', flags.timeout) ?? undefined,
    noWorkerMs: durationFlag('--wait-for-worker', flags.waitForWorker) ?? noWorkerTimeoutMs,
    patienceMs: durationFlag('--wait-for-coordinator', flags.waitForCoordinator) ?? awayMaxMs,
  }
  const reporters = parseReporters(flags.reporter, {
    env: process.env,
    cwd: process.cwd(),
    stdout: process.stdout,
    stderr: process.stderr,
    json: flags.json === true ? '-' : flags.json,
    junit: flags.junit,
    ctrf: flags.ctrf,
  })
  const fallback = fallbackOf(flags.fallback, undefined)
  const say = (text: string) => void process.stderr.write(`${text}\n`)
  const close = async () => {
    for (const reporter of reporters) await reporter.close?.()
  }
  const embedded = !flags.daemon || isSet(process.env['CI'])
  using interrupts = new Interrupts()
  // The coordinator starts while the framework lists its files.
  const coordinator = new RunCoordinator({ server: flags.server, token: flags.token, embedded, say }, fallback, say)
  try {
    const patience = (connection: Connection): Patience => {
      if (connection.kind !== 'server') return { awayMaxMs: submitAwayMaxMs, unreadyMaxMs }
      // A server that isn't there is most likely a wrong address.
      const several = connection.client.transport instanceof SeveralAddresses
      return { awayMaxMs: several && coordinator.fallback === 'none' ? severalAwayMaxMs : 0, unreadyMaxMs }
    }
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
    for (const notice of plan.notices) say(`muster: ${notice}`)
    if (plan.files.length === 0) {
      if (flags.passWithNoTests) return 0
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
    if (flags.dryRun) return printPlan(plan, known, flags.json !== undefined)
    return await execute(coordinator, plan, known, flags, reporters, times, interrupts)
  } catch (error) {
    if (!interrupts.signal.aborted) throw error
    // A daemon that is still awaited is not ours to end, and awaiting it would hold this process.
    await coordinator.endOwn()
    await close()
    say('muster: interrupted')
    process.exit(130)
  } finally {
    await coordinator[Symbol.asyncDispose]()
    await close()
  }
}

async function execute(
  coordinator: RunCoordinator,
  plan: RunPlan,
  known: PlanView,
  flags: RunFlags,
  reporters: readonly Reporter[],
  times: Times,
  interrupts: Interrupts,
): Promise<number> {
  const where = placeOf(await coordinator.connection, known, flags, coordinator.why)
  const predictedMs = predict(known, where.cpus)
  for (const reporter of reporters) {
    await reporter.start?.({
      framework: plan.suite.detection.framework,
      frameworkVersion: plan.suite.detection.version,
      suite: plan.suite.name,
      planned: plan.files.length,
      where: where.words,
      knownRatio: known.knownRatio,
      ...(predictedMs === undefined ? {} : { predictedMs }),
    })
  }
  let isWarned = false
  const onMessage: Reporter['message'] = (message) => {
    for (const reporter of reporters) reporter.message(message)
    const { warnings = [] } = message.type === 'snapshot' || message.type === 'run' ? message.run : {}
    if (isWarned || warnings.length === 0) return
    // Once: what they say changes with every second that passes.
    isWarned = true
    warnings.forEach(say)
  }
  const say = (text: string) => onMessage({ type: 'notice', level: 'warning', text })
  const meant = coordinator.why
  const submitted = await submit(coordinator, plan, flags, times, interrupts, say)
  const connection = await coordinator.connection
  if (meant !== coordinator.why) say(`running on this host, ${fallbackWords(coordinator.why!)}`)
  const { patienceMs } = times
  const followed = await followRun(submitted, {
    coordinator,
    connection,
    plan,
    flags,
    times,
    interrupts,
    patienceMs,
    onMessage,
  })
  const exitCode = exitCodeOf(followed.run, followed.interrupted)
  const summary = await summarise(followed.run, exitCode, followed.records, followed.place)
  for (const reporter of reporters) await reporter.finish(summary)
  return exitCode
}

/** The id of the run. Where several tries are needed, or another coordinator, it is one run all the same. */
async function submit(
  coordinator: RunCoordinator,
  plan: RunPlan,
  flags: RunFlags,
  times: Times,
  interrupts: Interrupts,
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

function noTestsWords(flags: PlanFlags, plan: RunPlan): string {
  const { detection, project } = plan.suite
  const what = flags.paths.length > 0 ? ` that match ${flags.paths.join(' ')}` : ''
  const shard = flags.shard === undefined ? '' : ` in shard ${flags.shard}`
  return `${detection.framework} has no test files${what}${shard} in ${project.cwd}`
}
