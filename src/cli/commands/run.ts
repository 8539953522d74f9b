/** `muster run`: from a directory to a verdict. */
import { randomUUID } from 'node:crypto'
import { MusterError } from '../../protocol/errors.ts'
import type { SubmitBody } from '../../protocol/api.ts'
import type { PlanView } from '../../client/client.ts'
import { availableCpus } from '../../worker/capabilities.ts'
import { hostId } from '../../worker/host-id.ts'
import { connect, serverOf, type Connection } from '../connect.ts'
import { exitCodeOf } from '../exit-code.ts'
import { durationFlag, labelsOf } from '../flags.ts'
import { Interrupts } from '../interrupts.ts'
import { summarise, type Reporter } from '../reporters/reporter.ts'
import { parseReporters } from '../reporters/select.ts'
import { isSet } from '../reporters/terminal.ts'
import { persist, persistStream } from '../persist.ts'
import { planRun, type PlanFlags, type RunPlan } from '../run-plan.ts'
import { awayMaxMs, watchRun } from '../run-watch.ts'
import { printPlan } from './dry-run.ts'

export type RunFlags = PlanFlags & {
  readonly workers?: number
  readonly cpus?: number
  readonly retries?: number
  readonly timeout?: string
  readonly maxFailures?: number
  readonly priority?: number
  readonly label?: readonly string[]
  readonly env?: readonly string[]
  readonly setup?: string
  readonly server?: string
  readonly token?: string
  readonly reporter: readonly string[]
  readonly json?: string | true
  readonly junit?: string
  readonly ctrf?: string
  readonly daemon: boolean
  readonly dryRun?: boolean
  readonly passWithNoTests?: boolean
  readonly waitForWorker?: string
}

const taskTimeoutMs = 30 * 60_000
const noWorkerTimeoutMs = 60_000
const submitAwayMaxMs = 20_000

export async function runCommand(flags: RunFlags): Promise<number> {
  const times = {
    taskMs: durationFlag('--timeout', flags.timeout) ?? undefined,
    noWorkerMs: durationFlag('--wait-for-worker', flags.waitForWorker) ?? noWorkerTimeoutMs,
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
  const say = (text: string) => void process.stderr.write(`${text}\n`)
  const close = async () => {
    for (const reporter of reporters) await reporter.close?.()
  }
  const embedded = !flags.daemon || isSet(process.env['CI'])
  using interrupts = new Interrupts()
  // The coordinator starts while the framework lists its files.
  const connecting = connect({ server: flags.server, token: flags.token, embedded, say })
  connecting.catch(() => undefined)
  try {
    const plan = await interrupts.before(planRun(flags, async () => (await connecting).client, interrupts.signal))
    for (const notice of plan.notices) say(`muster: ${notice}`)
    if (plan.files.length === 0) {
      if (flags.passWithNoTests) {
        await (await connecting)[Symbol.asyncDispose]()
        return 0
      }
      throw new MusterError('no_tests', noTestsWords(flags, plan), {
        hint: "'muster doctor' says what was detected here.",
      })
    }
    await using connection = await interrupts.before(connecting)
    // A server that isn't there is most likely a wrong address.
    const patience = { awayMaxMs: connection.kind === 'server' ? 0 : submitAwayMaxMs }
    const known = await persist(connection, patience, () =>
      connection.client.plan(plan.project, plan.suite.name, plan.files),
    )
    if (flags.dryRun) return printPlan(plan, known, flags.json !== undefined)
    return await execute(connection, plan, known, flags, reporters, times, interrupts)
  } catch (error) {
    if (!interrupts.signal.aborted) {
      const opened = await connecting.catch(() => undefined)
      await opened?.[Symbol.asyncDispose]()
      throw error
    }
    // A daemon that is still awaited is not ours to end, and awaiting it would hold this process.
    if (embedded) await connecting.then((opened) => opened[Symbol.asyncDispose]()).catch(() => undefined)
    await close()
    say('muster: interrupted')
    process.exit(130)
  } finally {
    await close()
  }
}

async function execute(
  connection: Connection,
  plan: RunPlan,
  known: PlanView,
  flags: RunFlags,
  reporters: readonly Reporter[],
  times: { readonly taskMs: number | undefined; readonly noWorkerMs: number },
  interrupts: Interrupts,
): Promise<number> {
  const { client } = connection
  const where = placeOf(connection, known, flags)
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
  const body = await interrupts.before(submission(connection, plan, flags, times))
  // The key makes repeating harmless when the answer got lost.
  const key = randomUUID()
  const submitted = await persist(connection, { awayMaxMs: submitAwayMaxMs }, () => client.submit(body, key))
  const { run, interrupted } = await watchRun({
    connection,
    run: submitted.run,
    interrupt: interrupts.signal,
    onMessage: (message) => {
      for (const reporter of reporters) reporter.message(message)
    },
    say: (text) => {
      for (const reporter of reporters) reporter.message({ type: 'notice', level: 'warning', text })
    },
  })
  const exitCode = exitCodeOf(run, interrupted)
  const summary = await summarise(run, exitCode, () =>
    persistStream(connection, { awayMaxMs }, () => client.records(run.run)),
  )
  for (const reporter of reporters) await reporter.finish(summary)
  return exitCode
}

async function submission(
  connection: Connection,
  plan: RunPlan,
  flags: RunFlags,
  times: { readonly taskMs: number | undefined; readonly noWorkerMs: number },
): Promise<SubmitBody> {
  const { suite } = plan
  const remote = connection.kind === 'server' && !(serverOf(flags) ?? '').startsWith('unix:')
  const place = remote
    ? await (
        await import('../travel.ts')
      ).travel(connection.client, suite, flags.setup ?? suite.setup, [
        ...(plan.detected.config?.env ?? []),
        ...(flags.env ?? []),
      ])
    : { cwd: suite.project.cwd, workspace: { type: 'in-place' as const, host: hostId() }, env: suite.project.env }
  return {
    framework: suite.detection.framework,
    frameworkVersion: suite.detection.version,
    suite: suite.name,
    project: plan.project,
    cwd: place.cwd,
    workspace: place.workspace,
    files: [...plan.files],
    paths: [...plan.paths],
    args: [...plan.args],
    complete: plan.complete,
    ...(flags.cpus === undefined ? {} : { cpus: flags.cpus }),
    ...(flags.workers === undefined ? {} : { workersMax: flags.workers }),
    retries: flags.retries ?? suite.retries ?? 0,
    taskTimeoutMs: times.taskMs ?? suite.timeoutMs ?? taskTimeoutMs,
    maxFailures: flags.maxFailures ?? 0,
    priority: flags.priority ?? 0,
    labels: { ...suite.labels, ...labelsOf(flags.label ?? []) },
    noWorkerTimeoutMs: times.noWorkerMs,
    context: {
      env: { ...place.env },
      detection: suite.detection,
      ...(suite.command === undefined ? {} : { suite: suite.command }),
    },
  }
}

function placeOf(connection: Connection, known: PlanView, flags: RunFlags): { words: string; cpus: number } {
  if (connection.kind !== 'server') {
    const cpus = Math.min(flags.cpus ?? Infinity, availableCpus())
    return { words: `this host (${cpus} CPUs)`, cpus }
  }
  const workers = known.workers.filter((worker) => worker.state === 'idle' || worker.state === 'busy')
  const cpus = workers.reduce((sum, worker) => sum + Math.min(worker.cpus, flags.cpus ?? Infinity), 0)
  const words = `${connection.client.transport.address} (${workers.length} workers, ${cpus} CPUs)`
  return { words: workers.length === 1 ? words.replace('workers', 'worker') : words, cpus }
}

function predict(known: PlanView, cpus: number): number | undefined {
  const durations = known.durationsMs.filter((one) => one !== null)
  if (durations.length === 0 || cpus === 0) return undefined
  const mean = durations.reduce((sum, one) => sum + one, 0) / durations.length
  return (known.startupMs ?? 0) + Math.max((mean * known.durationsMs.length) / cpus, Math.max(...durations))
}

function noTestsWords(flags: PlanFlags, plan: RunPlan): string {
  const { detection, project } = plan.suite
  const what = flags.paths.length > 0 ? ` that match ${flags.paths.join(' ')}` : ''
  const shard = flags.shard === undefined ? '' : ` in shard ${flags.shard}`
  return `${detection.framework} has no test files${what}${shard} in ${project.cwd}`
}
