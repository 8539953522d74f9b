/** `muster plan --workers 2,4,8`: how long a suite, or a run, would take on fleets of several sizes. Nothing is run. */
import { availableParallelism } from 'node:os'
import type { PlanBody } from '../../protocol/api.ts'
import { MusterError } from '../../protocol/errors.ts'
import type { WorkerView } from '../../protocol/run-view.ts'
import type { RunSpec } from '../../core/entities.ts'
import { plainRun } from '../../scheduling/made-up.ts'
import type { Recording } from '../../scheduling/recording.ts'
import { whatIf, type FleetPlan, type WhatIf, type Work } from '../../scheduling/what-if.ts'
import { formatDuration } from '../../stdx/duration.ts'
import { escapedName } from '../../stdx/plain-text.ts'
import { connect, type Connection } from '../connect.ts'
import { Interrupts } from '../interrupts.ts'
import { Policies } from '../policies.ts'
import { planRun, type PlanFlags, type RunPlan } from '../run-plan.ts'
import { table } from '../table.ts'
import type { LookOptions } from './look.ts'
import { counted } from '../reporters/text-fit.ts'

export type PlanOptions = LookOptions &
  PlanFlags & {
    /** `2,4,8` */
    readonly workers: string
    /** Of each worker; default: as many as most of those connected have. */
    readonly cpus?: number
    /** `1` or `1,2,4`: of the workers in turn. */
    readonly speed?: string
    readonly policy?: string
    readonly plugin?: readonly string[]
    readonly run?: string
  }

const sizesMax = 50
const workersMax = 10_000
/** Fleets that take so much longer than the next larger one still gain from more. */
const worthIt = 0.95

export async function planCommand(options: PlanOptions): Promise<number> {
  const sizes = numbers('--workers', options.workers, Number.isInteger, 1, workersMax)
  const speeds = numbers('--speed', options.speed ?? '1', Number.isFinite, 0.01, 1000)
  const policies = await Policies.load(options.plugin)
  const strategy = options.policy === undefined ? policies.default : policies.named(options.policy)
  await using connection = await connect(options)
  const { work, workers } = await workOf(connection, options)
  if (work.files.length === 0) throw new MusterError('no_tests', 'there are no test files to plan for')
  const cpus = options.cpus ?? usualCpus(workers)
  const result = whatIf(work, sizes, { cpus, speeds }, strategy)
  for (const problem of policies.problems) process.stderr.write(`muster: ${problem}\n`)
  const data = { ...result, cpus, speeds, policy: strategy.name }
  process.stdout.write(options.json ? `${JSON.stringify(data, null, 2)}\n` : planText(result, cpus, speeds))
  return 0
}

function numbers(flag: string, text: string, fits: (value: number) => boolean, min: number, max: number): number[] {
  const values = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)))
  if (values.length > sizesMax || values.some((value) => !fits(value) || value < min || value > max))
    throw new MusterError(
      'usage',
      `${flag}: expected up to ${sizesMax} numbers from ${min} to ${max} with commas between, received '${text}'`,
    )
  return values
}

type Asked = { readonly work: Work; readonly workers: readonly WorkerView[] }

async function workOf(connection: Connection, options: PlanOptions): Promise<Asked> {
  if (options.run !== undefined)
    return { work: await workOfRun(connection, options.run), workers: await connection.client.workers() }
  using interrupts = new Interrupts()
  const plan = await interrupts.before(planRun(options, (path) => connection.client.get(path), interrupts.signal))
  const { suite, project, files, fileBytes } = plan
  const about: PlanBody = {
    project,
    suite: suite.name,
    framework: suite.detection.framework,
    files: [...files],
    fileBytes: [...fileBytes],
  }
  const known = await connection.client.plan(about)
  const startupMs = known.startupMs ?? 0
  const work = {
    spec: specOf(plan),
    files,
    estimatesMs: known.durationsMs,
    ...(known.bases === undefined ? {} : { measured: known.bases.map((basis) => basis === 'history') }),
    startupMs,
    ...orderOf(plan),
  }
  return { work, workers: known.workers }
}

/** What each file really took, with the run's own start-up; of those that never came to an end, what was expected. */
async function workOfRun({ client }: Connection, id: string): Promise<Work> {
  const query = new URLSearchParams({ run: id, only: 'true' })
  const { runs, leftOut } = await client.get<Recording>(`/recording?${query.toString()}`)
  const [run] = runs
  if (!run) throw new MusterError('conflict', `run ${id} can't be planned from: ${leftOut.join('; ')}`)
  const { spec, files, durationsMs, unmeasured, kinds, startupMs } = run
  const expected = new Map(unmeasured)
  const estimatesMs = durationsMs.map((ms, task) => expected.get(task) ?? ms)
  return { spec, files, estimatesMs, measured: files.map((_, task) => !expected.has(task)), kinds, startupMs }
}

function specOf({ suite, project, needs, serial }: RunPlan): RunSpec {
  return plainRun({
    project,
    suite: suite.name,
    framework: suite.detection.framework,
    frameworkVersion: suite.detection.version,
    ...(serial ? { cpus: 1 } : {}),
    ...(needs.needs.length === 0 ? {} : { needs: needs.needs as NonNullable<RunSpec['needs']> }),
  })
}

function orderOf({ needs }: RunPlan): Pick<Work, 'kinds' | 'dependencies'> {
  const { kinds, dependencies } = needs
  return {
    ...(needs.needs.length === 0 ? {} : { kinds }),
    ...(dependencies.length === 0 ? {} : { dependencies }),
  }
}

function usualCpus(workers: readonly WorkerView[]): number {
  const counts = new Map<number, number>()
  for (const { state, cpus } of workers) if (state !== 'disconnected') counts.set(cpus, (counts.get(cpus) ?? 0) + 1)
  const [usual] = [...counts].sort((a, b) => b[1] - a[1] || b[0] - a[0])
  return usual?.[0] ?? availableParallelism()
}

export function planText(result: WhatIf, cpus: number, speeds: readonly number[]): string {
  const { files, knownRatio, workMs, fleets, longest } = result
  const speed = speeds.length === 1 && speeds[0] === 1 ? '' : `, speed ${speeds.join(', ')}`
  const [used = cpus] = fleets.map((fleet) => fleet.cpus / fleet.workers)
  const inUse = used === cpus ? '' : `, ${used} of them in use`
  const head = `${counted(files, 'file')}, ${formatDuration(workMs)} of work · ${Math.round(knownRatio * 100)} % known from history · workers of ${cpus} ${cpus === 1 ? 'CPU' : 'CPUs'}${inUse}${speed}`
  const rows = fleets.map((fleet) => [
    fleet.workers,
    fleet.cpus,
    formatDuration(fleet.expectedMs),
    `${formatDuration(fleet.fromMs)} – ${formatDuration(fleet.toMs)}`,
    formatDuration(fleet.lowerBoundMs),
    `${Math.round(fleet.efficiency * 100)} %`,
    fleet.batches,
  ])
  const body = table(['WORKERS', 'CPUS', 'EXPECTED', 'RANGE', 'BOUND', 'EFFICIENCY', 'BATCHES'], rows)
  const limit = `more than ${result.workersMax} ${result.workersMax === 1 ? 'worker does' : 'workers do'} not help: ${escapedName(longest.file)} alone takes ${formatDuration(longest.ms)}${knownRatio === 0 ? ', by a guess' : ''}`
  return `${head}\n${body}${[...gainWords(fleets), limit].join('\n')}\n`
}

/** The first size from which the next larger one gains little. */
function gainWords(fleets: readonly FleetPlan[]): string[] {
  const sorted = fleets.toSorted((a, b) => a.workers - b.workers)
  for (const [at, fleet] of sorted.entries()) {
    const next = sorted[at + 1]
    if (next && next.expectedMs > fleet.expectedMs * worthIt)
      return [
        `from ${fleet.workers} to ${next.workers} workers gains ${Math.max(0, Math.round((1 - next.expectedMs / fleet.expectedMs) * 100))} %`,
      ]
  }
  return []
}
