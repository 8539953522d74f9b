/** After a round: what clients were told, what the log has, and what every coordinator shows must be one and the same. */
import { setTimeout as delay } from 'node:timers/promises'
import { taskView } from '../../coordinator/views.ts'
import type { HealthView } from '../../protocol/api.ts'
import type { RunView, TaskView, WorkerView } from '../../protocol/run-view.ts'
import type { Violations } from '../sim/violations.ts'
import type { Cluster } from './cluster.ts'
import type { ClientRun, Load, Submission } from './load.ts'
import type { LogWatch } from './log-watch.ts'
import type { Again } from './executions.ts'
import { needsNetwork, workerHosts, type Round } from './plan.ts'
import { endOf, type Suite } from './suite.ts'

const lookEveryMs = 250

/** Exit codes, reports and the log's verdicts of `muster run`, against what the files were made to do. */
export function checkRuns(runs: readonly ClientRun[], suite: Suite, watch: LogWatch): void {
  const { violations } = watch
  const expected = { passed: 0, failed: 0, skipped: 0 }
  for (const kind of suite.values()) expected[endOf[kind]] += 1
  const failing = [...suite].filter(([, kind]) => endOf[kind] === 'failed').map(([file]) => file)
  for (const { client, code, report, stderr } of runs) {
    const wrong = (words: string) =>
      violations.found('every run ends with the right report', `${report?.run ?? `a run of ${client}`}: ${words}`)
    if (code === undefined) violations.found('no run is stuck', `a run of ${client} did not end: ${stderr.slice(-400)}`)
    else if (!report) wrong(`no report, exit code ${code}: ${stderr.slice(-600)}`)
    else {
      if (code !== 1 || report.exitCode !== 1) wrong(`exit code ${code}, in the report ${report.exitCode}; expected 1`)
      if (report.verdict !== 'failed') wrong(`verdict ${report.verdict} (${report.reason}); expected failed`)
      if (report.planned !== suite.size || report.accounted !== suite.size) {
        wrong(`planned ${report.planned}, accounted ${report.accounted}; the suite has ${suite.size} files`)
      }
      const { passed, failed, skipped } = report.tasks
      if (passed !== expected.passed || failed !== expected.failed || skipped !== expected.skipped) {
        wrong(`${JSON.stringify(report.tasks)}; expected ${JSON.stringify(expected)}`)
      }
      const named = new Set(report.failures.map((failure) => failure.file))
      for (const file of failing) if (!named.has(file)) wrong(`${file} failed, and is not among the failures`)
      for (const file of named) if (!failing.includes(file)) wrong(`${file} is among the failures, and passes`)
      checkTasks(report.run, suite, watch)
    }
  }
}

function checkTasks(id: string, suite: Suite, watch: LogWatch): void {
  const run = watch.ledger.runs.get(id)
  if (!run)
    return watch.violations.found(
      'acknowledged means durable',
      `the log has no run ${id}, which a client has a report of`,
    )
  for (const task of run.tasks) {
    const kind = suite.get(task.file)
    if (kind !== undefined && task.state === endOf[kind]) continue
    const words = `${task.file} of ${id} is ${task.state} (${task.why ?? ''}); attempts ${task.attempts.map((one) => one.ended).join(', ')}`
    watch.violations.found('every file ends as it was made to', words)
  }
}

export function checkSubmissions(submissions: readonly Submission[], watch: LogWatch): void {
  const { violations, ledger } = watch
  for (const { key, acknowledged, cancelled, files, tries, wrong } of submissions) {
    for (const words of wrong) violations.found('answers are right', `${key}: ${words}`)
    const runs = watch.submitted.get(key) ?? []
    if (runs.length > 1) violations.found('a key makes one run', `${key} made ${runs.join(', ')}`)
    if (!acknowledged) {
      violations.found('submissions are taken once all is well', `${key} was not, in ${tries} tries`)
      continue
    }
    const run = ledger.runs.get(acknowledged.run)
    if (!run || runs[0] !== run.id || run.tasks.length !== files) {
      violations.found(
        'acknowledged means durable',
        `${key} was acknowledged as ${acknowledged.run}; the log has ${runs.join(', ') || 'nothing'}`,
      )
    } else if (run.submittedAt > acknowledged.position) {
      violations.found(
        'acknowledged means durable',
        `${key} was acknowledged at ${acknowledged.position}, and is in the log at ${run.submittedAt}`,
      )
    } else if (cancelled && !run.cancelled && run.finishedAt === undefined) {
      violations.found('acknowledged means durable', `the cancelling of ${run.id} was acknowledged, and it goes on`)
    } else if (run.verdict !== undefined && run.verdict !== 'passed' && !run.cancelled) {
      violations.found(
        'every run ends with the right verdict',
        `${key} (${run.id}) is ${run.verdict}, and can only pass`,
      )
    }
  }
}

/** A worker that hears of no leader for longer than this may end its tests; on a machine that stands still so long, too. */
const noticedMs = 2500

/**
 * Coordinators and etcd members may be killed, frozen, ended and handed over: tests that run go on, and none
 * runs twice. `standstillMs`: how long nothing could be written, or this machine did nothing.
 */
export function checkUninterrupted(round: Round, again: Again, watch: LogWatch, standstillMs: number): void {
  const harmless = round.faults.every(
    (fault) => fault.type === 'transfer' || (!needsNetwork(fault) && 'who' in fault && !fault.who.startsWith('w')),
  )
  if (!harmless || standstillMs > noticedMs || again.count + again.interrupted === 0) return
  const words = `${again.count} executed again, ${again.interrupted} not ended; nothing was written for ${Math.round(standstillMs)} ms at most`
  watch.violations.found('tests survive the loss of coordinators', words)
}

/** Waits until everything is done and everybody agrees; says what is missing when that takes longer than the bound. */
export async function comesToRest(cluster: Cluster, watch: LogWatch, withinMs: number): Promise<void> {
  const lastMs = performance.now() + withinMs
  for (;;) {
    const unrest = await whatIsLeft(cluster, watch).catch((error: Error) => error.message)
    if (unrest === undefined) return
    if (performance.now() > lastMs) {
      return watch.violations.found('the cluster comes to rest', `after ${withinMs / 1000} s: ${unrest}`)
    }
    await delay(lookEveryMs)
  }
}

async function whatIsLeft(cluster: Cluster, watch: LogWatch): Promise<string | undefined> {
  await watch.catchUp()
  const { ledger } = watch
  for (const run of ledger.runs.values()) {
    if (run.finishedAt !== undefined) continue
    return `${run.id} is not finished: ${run.tasks.map((task) => task.state).join(' ')}`
  }
  for (const worker of ledger.workers.values()) {
    if (worker.cpusUsed > 0) return `${worker.cpusUsed} CPUs of ${watch.nameOf(worker.id)} are reserved`
  }
  const said = await Promise.all(
    cluster.coordinators.map(async (name) => ({ name, ...(await cluster.ask<HealthView>(name, '/health')) })),
  )
  const leaders = said.filter(({ body }) => body.role === 'leader')
  if (leaders.length !== 1) return `${leaders.length} coordinators lead`
  for (const { name, status, body } of said) {
    if (status !== 200) return `${name} answers ${status}`
    if (!body.ready) return `${name} is not ready: ${body.notReady.join('; ')}`
    if (body.epoch !== ledger.epoch) return `${name} is of epoch ${body.epoch}, and the log of ${ledger.epoch}`
    if (body.position !== ledger.position) return `${name} is at ${body.position} of ${ledger.position}`
    const { body: shown } = await cluster.ask<{ workers: readonly WorkerView[] }>(name, '/workers')
    const there = shown.workers.filter((worker) => worker.state === 'idle').map((worker) => worker.name)
    const missing = workerHosts.filter((host) => !there.includes(host))
    if (missing.length > 0)
      return `${name} does not show ${missing.join(', ')} as idle: ${shown.workers.map((one) => `${one.name} ${one.state}`).join(', ')}`
  }
  return undefined
}

/** At rest: what each coordinator shows is what the replay of the log gives. */
export async function checkViews(cluster: Cluster, load: Load, watch: LogWatch): Promise<void> {
  const { state } = watch.shadow
  const { violations, ledger } = watch
  const runs = load.runs.flatMap(({ report }) => (report && state.runs.has(report.run) ? [report.run] : []))
  for (const name of cluster.coordinators) {
    const { body } = await cluster.ask<{ runs: readonly RunView[] }>(name, '/runs', { withinMs: 15_000 })
    const shown = new Map(body.runs.map((run) => [run.run, run]))
    for (const run of state.runs.values()) {
      const view = shown.get(run.id)
      const has = view && [
        view.state,
        view.verdict,
        view.version,
        view.planned,
        view.accounted,
        view.rerun,
        view.tests,
        view.createdAtMs,
        view.endedAtMs,
      ]
      const by = run.tasks.length
      const wants = [run.state, run.verdict, run.version, by, by, run.rerun, run.tests, run.createdAtMs, run.endedAtMs]
      compare(violations, `${name} shows ${run.id}`, has, wants)
    }
    if (shown.size !== state.runs.size)
      compare(violations, `${name} shows`, `${shown.size} runs`, `${state.runs.size} runs`)
    for (const id of runs) {
      const run = state.runs.get(id)!
      const tasks = await cluster.ask<{ tasks: readonly TaskView[] }>(name, `/runs/${id}/tasks`, { withinMs: 15_000 })
      const wants = run.tasks.map((_, index) => taskView(state, run, index))
      compare(violations, `${name} shows the tasks of ${id}`, tasks.body.tasks, wants)
    }
  }
  if (ledger.position !== (await cluster.ask<HealthView>(cluster.coordinators[0]!, '/health')).body.position) {
    violations.found('rest stays', `the log grew beyond ${ledger.position} while nothing was asked`)
  }
}

function compare(violations: Violations, what: string, has: unknown, wants: unknown): void {
  const [shown, expected] = [JSON.stringify(has), JSON.stringify(wants)]
  if (shown !== expected)
    violations.found('equal positions, equal states', `${what} as ${shown}; the log says ${expected}`)
}
