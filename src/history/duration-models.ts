/**
 * Per project, which model estimates durations: what the last competition came to, kept in
 * `duration_models`, and when it is time for another. A project's models compete again once a tenth
 * more durations are known, in small steps between everything else that this process does.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { competitionSteps, needed } from '../analysis/competition.ts'
import type { LearnedModel, Outcome } from '../analysis/competition.ts'
import { countSamples, samplesOf } from './duration-samples.ts'
import type { Columns } from './duration-samples.ts'
import type { Row, Rows } from './schema.ts'

export type KeptOutcome = Outcome & { readonly atMs: number; readonly tookMs: number }

type Project = {
  kept: KeptOutcome | undefined
  /** Durations that it knew. */
  samples: number
  /** Since then. */
  fresh: number
}

/** At least so many more, and so large a share. */
const freshMin = 100
const freshShare = 0.1
const sliceMs = 20
const projectsMax = 256
const sizesMax = 200_000

export class DurationModels {
  readonly #columns: Columns
  readonly #projects = new Map<string, Project>()
  /** File sizes as submissions gave them, by project, suite and file; what was told longest ago is forgotten. */
  readonly #bytes = new Map<string, number>()

  constructor(columns: Columns) {
    this.#columns = columns
  }

  modelOf(project: string): LearnedModel | null {
    return this.#projects.get(project)?.kept?.model ?? null
  }

  isLoaded(project: string): boolean {
    return this.#projects.has(project)
  }

  keptOf(project: string): KeptOutcome | undefined {
    return this.#projects.get(project)?.kept
  }

  /** Once per project; must not overlap with an apply. */
  async load(project: string): Promise<void> {
    if (this.#projects.has(project)) return
    const [outcomes, samples] = await this.#columns(
      'SELECT outcome, samples FROM duration_models WHERE project = $project ORDER BY at_ms DESC LIMIT 1',
      { project },
    )
    const text = outcomes![0] as string | undefined
    const known = (samples![0] as number | undefined) ?? 0
    this.#projects.set(project, {
      kept: text === undefined ? undefined : (JSON.parse(text) as KeptOutcome),
      samples: known,
      fresh: Math.max(0, (await countSamples(this.#columns, project)) - known),
    })
    for (const key of this.#projects.keys()) {
      if (this.#projects.size <= projectsMax) break
      this.#projects.delete(key)
    }
  }

  learn(rows: Rows): void {
    for (const { project, outcome } of rows.attempts) {
      if (project === null || (outcome !== 'passed' && outcome !== 'failed' && outcome !== 'timed-out')) continue
      const known = this.#projects.get(project)
      if (known !== undefined) known.fresh += 1
    }
  }

  /** A project whose models should compete again, of those that somebody has asked about. */
  due(): string | undefined {
    for (const [project, { samples, fresh }] of this.#projects)
      if (samples + fresh >= needed.samples && fresh >= Math.max(freshMin, samples * freshShare)) return project
    return undefined
  }

  isFresh(project: string): boolean {
    const known = this.#projects.get(project)
    return known?.kept !== undefined && known.fresh === 0
  }

  /** Undefined when `goOn` says that there is no time left for it. The caller keeps the row. */
  async compete(project: string, goOn: () => boolean): Promise<Row<'duration_models'> | undefined> {
    const startMs = performance.now()
    const total = await countSamples(this.#columns, project)
    const samples = await samplesOf(this.#columns, project, (suite, file) => this.bytesOf(project, suite, file))
    const steps = competitionSteps(samples)
    let sinceMs = performance.now()
    let step = steps.next()
    while (!step.done) {
      if (performance.now() - sinceMs > sliceMs) {
        await turn()
        if (!goOn()) return undefined
        sinceMs = performance.now()
      }
      step = steps.next()
    }
    const kept: KeptOutcome = { ...step.value, atMs: Date.now(), tookMs: Math.round(performance.now() - startMs) }
    const known = this.#projects.get(project)
    const seen = (known?.samples ?? 0) + (known?.fresh ?? 0)
    this.#projects.set(project, { kept, samples: total, fresh: Math.max(0, seen - total) })
    return { project, used: kept.used, samples: total, outcome: JSON.stringify(kept), at_ms: kept.atMs }
  }

  rememberBytes(project: string, suite: string, files: readonly string[], bytes: readonly (number | null)[]): void {
    for (const [at, file] of files.entries()) {
      const size = bytes[at] ?? null
      if (size === null) continue
      const key = `${project}\n${suite}\n${file}`
      this.#bytes.delete(key)
      this.#bytes.set(key, size)
    }
    for (const key of this.#bytes.keys()) {
      if (this.#bytes.size <= sizesMax) break
      this.#bytes.delete(key)
    }
  }

  bytesOf(project: string, suite: string, file: string): number | null {
    return this.#bytes.get(`${project}\n${suite}\n${file}`) ?? null
  }
}
