/**
 * Several suites by one command: all of the configuration, or those that were named. Each is a run of its own, with its
 * ledger, its history and its reports; what is said on top of that is one summary and one exit code, the worst.
 *
 * Everything is planned before anything is submitted, and all are submitted at once, each after the runs of the suites that it
 * comes after: their order is the coordinator's business, which starts as much at a time as there is room for.
 */
import { resolve } from 'node:path'
import { isMusterError, MusterError } from '../protocol/errors.ts'
import type { RunView } from '../protocol/run-view.ts'
import { readProject } from '../runners/detect.ts'
import { loadConfig, type SuiteConfig } from '../runners/config.ts'
import { inOrder, suitesBefore } from '../runners/suite-order.ts'
import { printPlan } from './commands/dry-run.ts'
import type { RunFlags } from './run-flags.ts'
import type { Connection } from './connect.ts'
import { exitCodeOf, worstOf } from './exit-code.ts'
import { summarise, type Reporter } from './reporters/reporter.ts'
import { suiteReporters, type SuiteReporters } from './reporters/suite-output.ts'
import { suitesBlock, type SuiteEnd } from './reporters/suites-block.ts'
import { terminalOf } from './reporters/terminal.ts'
import { followRun } from './run-follow.ts'
import { nothingFailedWords } from './run-plan.ts'
import { infoOf, planSuite, submitPlan, toReporters, type Planned, type Session } from './run-session.ts'
import { fallbackWords } from './submission.ts'

type Before = { readonly name: string; readonly when: 'passed' | 'finished' }

type Chosen = {
  readonly name: string
  readonly flags: RunFlags
  /** Suites of this command that it comes after. */
  readonly before: readonly Before[]
  readonly output: SuiteReporters
}

export type Suites = { readonly chosen: readonly Chosen[]; readonly reporters: readonly Reporter[] }

/** What the configuration and the flags choose, each suite after those that it comes after. */
export async function openSuites(flags: RunFlags): Promise<Suites> {
  const { all, suites: names = [], ...own } = flags
  const flag = all ? '--all' : 'several --suite'
  const refuse = (what: string, hint: string): never => {
    throw new MusterError('usage', `${flag}: ${what}`, { hint })
  }
  if (all && (names.length > 0 || own.suite !== undefined))
    refuse('expected no --suite beside it', 'Name suites, or run all.')
  if (own.paths.length > 0)
    refuse(`expected no paths, received ${own.paths.join(' ')}`, 'Name the suite that they belong to with --suite.')
  if (own.args.length > 0)
    refuse('expected no arguments of a framework after --', "Give them to one suite, or as its 'args'.")
  if (own.framework !== undefined) refuse('expected no --framework beside it', 'Each suite has its own.')
  const project = await readProject(resolve(own.cwd ?? '.'), process.env)
  const config = await loadConfig(project.cwd, project.entries)
  const known = config?.suites ?? []
  if (known.length === 0)
    refuse(
      `no muster.config.* in ${project.cwd} names a suite`,
      "Describe each suite there, or leave the flag out: 'muster doctor' says what is found without.",
    )
  for (const name of names)
    if (!known.some((one) => one.name === name))
      throw new MusterError(
        'usage',
        `Cannot run the suite '${name}': there are ${known.map((one) => one.name).join(', ')}`,
      )
  const wanted = inOrder(known).filter((suite) => all || names.includes(suite.name))
  const outputs = suiteReporters(
    own.reporter,
    {
      env: process.env,
      cwd: process.cwd(),
      stdout: process.stdout,
      stderr: process.stderr,
      json: own.json === true ? '-' : own.json,
      junit: own.junit,
      ctrf: own.ctrf,
    },
    wanted.map((one) => one.name),
  )
  const chosen = wanted.map((suite, at) => ({
    name: suite.name,
    flags: { ...own, suite: suite.name },
    before: beforeAmong(suite, wanted, known),
    output: outputs[at]!,
  }))
  return { chosen, reporters: outputs.flatMap((one) => one.reporters) }
}

function beforeAmong(
  suite: SuiteConfig,
  wanted: readonly SuiteConfig[],
  known: readonly SuiteConfig[],
): readonly Before[] {
  return suitesBefore(suite, known).flatMap(({ suite: before, when }) =>
    before !== undefined && wanted.includes(before) ? [{ name: before.name, when }] : [],
  )
}

type Part = Chosen & Planned & { readonly say: (text: string) => void; readonly show: ReturnType<typeof toReporters> }

export async function runSuites(session: Session, suites: Suites, print: (text: string) => void): Promise<number> {
  const { parts, leftOut } = await plan(session, suites.chosen, print)
  if (parts.length === 0) return 0
  if (parts[0]!.flags.dryRun) return printPlans(parts)
  for (const part of parts) {
    const info = await infoOf(session, part, part.flags)
    for (const reporter of part.output.reporters) await reporter.start?.(info)
  }
  const beganAt = performance.now()
  const submitted = await submitAll(session, parts, leftOut)
  const ends = new Map<string, Promise<SuiteEnd>>()
  for (const part of parts) ends.set(part.name, follow(session, part, submitted.get(part.name)!, ends))
  const ended = await Promise.all(ends.values())
  const terminal = terminalOf(process.stderr, process.env)
  const files = parts.flatMap((part) => part.output.files)
  const block = suitesBlock(ended, performance.now() - beganAt, files, terminal.columns(), terminal.paint)
  terminal.write(`\n${block.join('\n')}\n`)
  return session.interrupts.signal.aborted ? 130 : worstOf(ended.map((one) => one.exitCode))
}

/** `leftOut`: suites in which there is nothing to do; nobody waits for them. */
async function plan(session: Session, chosen: readonly Chosen[], print: (text: string) => void) {
  const planned = await Promise.all(
    chosen.map(async (one) => ({ ...one, ...(await planSuite(session, one.flags).catch(named(one.name))) })),
  )
  const someFailed = planned.some((one) => !one.plan.nothingFailed && one.plan.files.length > 0)
  const parts: Part[] = []
  const leftOut: string[] = []
  for (const one of planned) {
    const say = (text: string) => print(`muster: ${one.name}: ${text}`)
    const { nothingFailed, notices } = one.plan
    if (!('known' in one) || (nothingFailed && someFailed)) {
      say(nothingFailed ? 'nothing failed in the last run: left out' : 'no test files: left out')
      leftOut.push(one.name)
      continue
    }
    for (const notice of notices) if (notice === nothingFailedWords || !notice.startsWith('also here')) say(notice)
    const show = toReporters(one.output.reporters)
    parts.push({ ...one, show, say: (text) => show({ type: 'notice', level: 'warning', text }) })
  }
  return { parts, leftOut }
}

/** An error that says of which suite. */
function named(suite: string): (error: unknown) => never {
  return (error) => {
    if (!isMusterError(error)) throw error
    const hint = error.hint === undefined ? {} : { hint: error.hint }
    throw new MusterError(error.code, `Suite '${suite}': ${error.message}`, { cause: error, ...hint })
  }
}

function printPlans(parts: readonly Part[]): number {
  for (const { name, before, plan: one, known, flags } of parts) {
    const after = before.map((it) => (it.when === 'passed' ? it.name : `${it.name} (however it ends)`))
    if (flags.json === undefined)
      process.stdout.write(`\n${name}${after.length === 0 ? '' : `, after ${after.join(', ')}`}\n`)
    printPlan(one, known, flags.json !== undefined)
  }
  return 0
}

type Submitted = { readonly run: string; readonly connection: Connection }

/** All or none: what was submitted before one that was refused is cancelled. */
async function submitAll(
  session: Session,
  parts: readonly Part[],
  leftOut: readonly string[],
): Promise<ReadonlyMap<string, Submitted>> {
  const { coordinator } = session
  const submitted = new Map<string, Submitted>()
  const ours = new Map<string, string | null>(leftOut.map((name) => [name, null]))
  try {
    for (const part of parts) {
      const meant = coordinator.why
      const run = await submitPlan(session, part.plan, { ...part.flags, ours }, part.say).catch(named(part.name))
      if (meant !== coordinator.why) part.say(`running on this host, ${fallbackWords(coordinator.why!)}`)
      ours.set(part.name, run)
      submitted.set(part.name, { run, connection: await coordinator.connection })
    }
  } catch (error) {
    const why = 'another suite of the same command could not be submitted'
    for (const { run, connection } of submitted.values())
      await connection.client.act(run, 'cancel', { why }).catch((cause: unknown) => {
        // Away with the coordinator, or over: either way it is the first error that matters.
        if (!isMusterError(cause)) throw cause
      })
    throw error
  }
  return submitted
}

async function follow(
  { coordinator, interrupts, times }: Session,
  part: Part,
  { run: id, connection }: Submitted,
  ends: ReadonlyMap<string, Promise<SuiteEnd>>,
): Promise<SuiteEnd> {
  const { name, plan: one, flags, output, show } = part
  /** The first of those before it, as far as they are of this command, that didn't pass as it should have. */
  const obstacle = async (): Promise<string | undefined> => {
    for (const before of part.before) {
      const end = await ends.get(before.name)
      if (end !== undefined && end.exitCode !== 0 && before.when === 'passed') return `'${before.name}' did not pass`
    }
    return undefined
  }
  try {
    const { patienceMs } = times
    const followed = await followRun(id, {
      coordinator,
      connection,
      plan: one,
      flags,
      times,
      interrupts,
      patienceMs,
      turn: obstacle,
      onMessage: show,
    })
    const { run, interrupted, records, place } = followed
    const exitCode = exitCodeOf(run, interrupted)
    const summary = await summarise(run, exitCode, records, place)
    for (const reporter of output.reporters) await reporter.finish(summary)
    return { name, run, exitCode, why: neverBegan(run) ? ((await obstacle()) ?? run.reason) : undefined }
  } catch (error) {
    if (!isMusterError(error)) throw error
    part.say(error.message)
    return { name, run: undefined, exitCode: error.exitCode, why: error.message }
  } finally {
    for (const reporter of output.reporters) await reporter.close?.()
    output.flush()
  }
}

function neverBegan(run: RunView): boolean {
  return run.verdict === 'cancelled' && run.startedAtMs === undefined
}
