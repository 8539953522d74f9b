/** `muster run`: from a directory to a verdict. */
import { exitCodeOf } from '../exit-code.ts'
import { fallbackOf, RunCoordinator } from '../fallback.ts'
import { durationFlag } from '../flags.ts'
import { Interrupts } from '../interrupts.ts'
import { checkNeedFlags } from '../need-flags.ts'
import { summarise, type Reporter } from '../reporters/reporter.ts'
import { parseReporters } from '../reporters/select.ts'
import { isSet } from '../reporters/terminal.ts'
import { followRun } from '../run-follow.ts'
import type { RunFlags } from '../run-flags.ts'
import { infoOf, planSuite, submitPlan, toReporters, type Session } from '../run-session.ts'
import { awayMaxMs } from '../run-watch.ts'
import { fallbackWords } from '../submission.ts'
import { printPlan } from './dry-run.ts'

const noWorkerTimeoutMs = 60_000

export async function runCommand(flags: RunFlags): Promise<number> {
  checkNeedFlags(flags)
  const times: Session['times'] = {
    taskMs: durationFlag('--timeout', flags.timeout) ?? undefined,
    noWorkerMs: durationFlag('--wait-for-worker', flags.waitForWorker) ?? noWorkerTimeoutMs,
    patienceMs: durationFlag('--wait-for-coordinator', flags.waitForCoordinator) ?? awayMaxMs,
  }
  const several = flags.all === true || flags.suites !== undefined ? await import('../run-suites.ts') : undefined
  const suites = await several?.openSuites(flags)
  const reporters = suites?.reporters ?? reportersOf(flags)
  const fallback = fallbackOf(flags.fallback, undefined)
  const say = (text: string) => void process.stderr.write(`${text}\n`)
  const close = async () => {
    for (const reporter of reporters) await reporter.close?.()
  }
  const embedded = !flags.daemon || isSet(process.env['CI'])
  using interrupts = new Interrupts()
  // The coordinator starts while the framework lists its files.
  const coordinator = new RunCoordinator({ server: flags.server, token: flags.token, embedded, say }, fallback, say)
  const session: Session = { coordinator, interrupts, times }
  try {
    if (several && suites) return await several.runSuites(session, suites, say)
    return await runSuite(session, flags, reporters, say)
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

function reportersOf(flags: RunFlags): Reporter[] {
  return parseReporters(flags.reporter, {
    env: process.env,
    cwd: process.cwd(),
    stdout: process.stdout,
    stderr: process.stderr,
    json: flags.json === true ? '-' : flags.json,
    junit: flags.junit,
    ctrf: flags.ctrf,
  })
}

async function runSuite(
  session: Session,
  flags: RunFlags,
  reporters: readonly Reporter[],
  print: (text: string) => void,
): Promise<number> {
  const { coordinator } = session
  const planned = await planSuite(session, flags)
  const { plan } = planned
  for (const notice of plan.notices) print(`muster: ${notice}`)
  if (!('known' in planned)) return 0
  if (flags.dryRun) return printPlan(plan, planned.known, flags.json !== undefined)
  const info = await infoOf(session, planned, flags)
  for (const reporter of reporters) await reporter.start?.(info)
  const onMessage = toReporters(reporters)
  const say = (text: string) => onMessage({ type: 'notice', level: 'warning', text })
  const meant = coordinator.why
  const submitted = await submitPlan(session, plan, flags, say)
  const connection = await coordinator.connection
  if (meant !== coordinator.why) say(`running on this host, ${fallbackWords(coordinator.why!)}`)
  const { interrupts, times } = session
  const followed = await followRun(submitted, {
    coordinator,
    connection,
    plan,
    flags,
    times,
    interrupts,
    patienceMs: times.patienceMs,
    onMessage,
  })
  const exitCode = exitCodeOf(followed.run, followed.interrupted)
  const summary = await summarise(followed.run, exitCode, followed.records, followed.place)
  for (const reporter of reporters) await reporter.finish(summary)
  return exitCode
}
