/**
 * How long files take, in memory, per project and suite: the planner asks for thousands at once and
 * waits. The first question about a suite reads the newest durations of each file from the attempts;
 * from then on every applied batch is learned from. What is made of them is in src/analysis: the simple
 * estimate, the neighbours of a file never seen, and the learned model where that does better.
 */
import { predictLearned } from '../analysis/competition.ts'
import { fitContention } from '../analysis/contention.ts'
import { observationsKept, robustOf } from '../analysis/robust.ts'
import { SuiteDurations } from '../analysis/suite-durations.ts'
import type { Basis } from '../analysis/suite-durations.ts'
import type { DurationModels } from './duration-models.ts'
import { recentObservations } from './duration-samples.ts'
import type { Columns } from './duration-samples.ts'
import type { Estimates, FileEstimate } from './history.ts'
import type { Questions } from './messages.ts'
import type { Rows } from './schema.ts'

const suitesMax = 256
/** Beyond so many files in all of them, those asked least recently go, but for a few. */
const filesMax = 200_000
const suitesKept = 32
/** What load costs is fitted again after so many more observations than a suite has files. */
const refitAfter = 2

type Suite = {
  readonly durations: SuiteDurations
  /** In reference milliseconds, newest last. */
  readonly startups: number[]
  /** What is usual for the framework, in any suite; asked for when this one has nothing. */
  framework: { readonly name: string; readonly ms: number | null; readonly startupMs: number | null } | undefined
  learned: number
}

export class DurationMemory {
  readonly #columns: Columns
  readonly #models: DurationModels
  /** Least recently asked first. */
  readonly #suites = new Map<string, Suite>()

  constructor(columns: Columns, models: DurationModels) {
    this.#columns = columns
    this.#models = models
  }

  isLoaded({ project, suite, framework }: Questions['estimates']['ask']): boolean {
    const known = this.#suites.get(keyOf(project, suite))
    return (
      known !== undefined &&
      this.#models.isLoaded(project) &&
      (known.durations.size > 0 || framework === undefined || known.framework?.name === framework)
    )
  }

  /** Must not overlap with an apply, or what is being written would be missed. */
  async load({ project, suite, framework }: Questions['estimates']['ask']): Promise<void> {
    await this.#models.load(project)
    const observations = await recentObservations(this.#columns, project, suite)
    const durations = new SuiteDurations(fitContention(observations.values()))
    for (const [file, list] of observations) durations.load(file, list)
    const [startups] = await this.#columns(
      `SELECT startup_ms * coalesce(speed, 1) FROM batch_ends
       WHERE project = $project AND suite = $suite AND startup_ms IS NOT NULL ORDER BY at_ms DESC LIMIT ${observationsKept}`,
      { project, suite },
    )
    const empty = durations.size === 0 || startups!.length === 0
    this.#suites.set(keyOf(project, suite), {
      durations,
      startups: (startups as number[]).toReversed(),
      framework: empty && framework !== undefined ? await this.#usualFor(framework) : undefined,
      learned: 0,
    })
    this.#forgetSome()
  }

  /** A suite that has to be loaded again at each question costs some 20 ms, so small ones stay, however many ask by turns. */
  #forgetSome(): void {
    let files = 0
    for (const { durations } of this.#suites.values()) files += durations.size
    for (const [key, { durations }] of this.#suites) {
      const { size } = this.#suites
      if (size <= suitesKept || (size <= suitesMax && files <= filesMax)) return
      files -= durations.size
      this.#suites.delete(key)
    }
  }

  estimates({ project, suite, files, bytes }: Questions['estimates']['ask']): Estimates {
    const key = keyOf(project, suite)
    const known = this.#suites.get(key)
    if (known === undefined)
      return { durationsMs: files.map(() => null), bases: files.map(() => 'none'), startupMs: null }
    if (this.#suites.delete(key)) this.#suites.set(key, known)
    if (bytes !== undefined) {
      this.#models.rememberBytes(project, suite, files, bytes)
      known.durations.learnBytes(files, bytes)
    }
    const all = files.map((file) => this.#estimate(project, suite, known, file))
    const startupMs = robustOf(known.startups) ?? known.framework?.startupMs ?? null
    return {
      durationsMs: all.map((one) => (one.ms === null ? null : rounded(one.ms))),
      bases: all.map((one) => one.basis),
      startupMs: startupMs === null ? null : rounded(startupMs),
    }
  }

  /** Of every file of the suite that history knows. */
  fileEstimates(project: string, suite: string): FileEstimate[] {
    const known = this.#suites.get(keyOf(project, suite))
    if (known === undefined) return []
    return [...known.durations.files()].map((file) => {
      const { ms, learnedMs } = this.#estimate(project, suite, known, file)
      const simpleMs = known.durations.robustMs(file)!
      return { suite, file, ms: ms!, simpleMs, learnedMs, durations: known.durations.observations(file).length }
    })
  }

  learn(rows: Rows): void {
    for (const row of rows.attempts) {
      const { project, suite, file, outcome, duration_ms: durationMs, at_ms: atMs, cpus } = row
      if (file === null || durationMs === null || atMs === null) continue
      if (outcome !== 'passed' && outcome !== 'failed' && outcome !== 'timed-out') continue
      const known = this.#suites.get(keyOf(project ?? '', suite ?? ''))
      if (known === undefined) continue
      const load = row.beside === null || row.host_cpus === null ? null : row.beside / row.host_cpus
      known.durations.learn(file, { atMs, durationMs, speed: row.speed ?? 1, load, cpus, ending: outcome })
      known.learned += 1
    }
    for (const { project, suite, startup_ms: startupMs, speed } of rows.batch_ends) {
      const known = this.#suites.get(keyOf(project ?? '', suite ?? ''))
      if (known === undefined || startupMs === null) continue
      known.startups.push(startupMs * (speed ?? 1))
      if (known.startups.length > observationsKept) known.startups.shift()
    }
    for (const known of this.#suites.values()) {
      if (known.learned <= refitAfter * known.durations.size) continue
      known.learned = 0
      known.durations.correctFor(fitContention(known.durations.allObservations()))
    }
  }

  #estimate(
    project: string,
    suite: string,
    { durations, framework }: Suite,
    file: string,
  ): { readonly ms: number | null; readonly learnedMs: number | null; readonly basis: Basis } {
    const robustMs = durations.robustMs(file)
    const near = robustMs === null ? durations.neighbours(file) : null
    const startMs = robustMs ?? near?.ms ?? framework?.ms ?? null
    if (startMs === null) return { ms: null, learnedMs: null, basis: 'none' }
    const basis = robustMs === null ? (near?.basis ?? 'framework') : 'history'
    const model = this.#models.modelOf(project)
    if (model === null || basis === 'framework') return { ms: startMs, learnedMs: null, basis }
    const bytes = this.#models.bytesOf(project, suite, file)
    const learnedMs = predictLearned(model, durations, file, startMs, Date.now(), bytes)
    return { ms: learnedMs, learnedMs, basis }
  }

  async #usualFor(name: string): Promise<Suite['framework']> {
    const [durations] = await this.#columns(
      `SELECT median(duration_ms * coalesce(speed, 1)) FROM attempts SEMI JOIN (FROM runs WHERE framework = $name) USING (run)
       WHERE outcome IN ('passed', 'failed')`,
      { name },
    )
    const [startups] = await this.#columns(
      `SELECT startup_ms * coalesce(speed, 1) FROM batch_ends SEMI JOIN (FROM runs WHERE framework = $name) USING (run)
       WHERE startup_ms IS NOT NULL ORDER BY at_ms DESC LIMIT ${observationsKept}`,
      { name },
    )
    return {
      name,
      ms: durations![0] as number | null,
      startupMs: robustOf((startups as number[]).toReversed()),
    }
  }
}

/** To microseconds: what follows is noise, and would be written to the log. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

function keyOf(project: string, suite: string): string {
  return `${project}\n${suite}`
}
