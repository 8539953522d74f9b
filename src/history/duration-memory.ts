/**
 * How long files take, in memory, per project and suite: the planner asks for thousands at once and
 * waits. The first question about a suite reads the newest durations of each file from the attempts;
 * from then on every applied batch is learned from. The estimate is the median of the last eight
 * attempts that ran to their end: one slow host or one hiccup doesn't move it.
 */
import type { Estimates } from './history.ts'
import type { Rows } from './schema.ts'

const kept = 8
const suitesMax = 32

type Suite = {
  /** Newest last. */
  readonly files: Map<string, number[]>
  readonly startups: number[]
}

type Query = (sql: string, values: Record<string, string | number | null>) => Promise<Record<string, unknown>[]>

export class DurationMemory {
  readonly #query: Query
  /** Least recently asked first. */
  readonly #suites = new Map<string, Suite>()

  constructor(query: Query) {
    this.#query = query
  }

  isLoaded(project: string, suite: string): boolean {
    return this.#suites.has(keyOf(project, suite))
  }

  /** Must not overlap with an apply, or what is being written would be missed. */
  async load(project: string, suite: string): Promise<void> {
    const values = { project, suite }
    const loaded: Suite = { files: new Map(), startups: [] }
    const durations = await this.#query(
      `SELECT file, array_to_string(max_by(duration_ms, at_ms, ${kept}), ' ') AS newest_first FROM attempts
       WHERE project = $project AND suite = $suite AND outcome IN ('passed', 'failed') AND file IS NOT NULL GROUP BY file`,
      values,
    )
    for (const row of durations)
      loaded.files.set(row['file'] as string, (row['newest_first'] as string).split(' ').map(Number).reverse())
    const startups = await this.#query(
      `SELECT startup_ms FROM batch_ends WHERE project = $project AND suite = $suite AND startup_ms IS NOT NULL ORDER BY at_ms DESC LIMIT ${kept}`,
      values,
    )
    for (const row of startups.reverse()) loaded.startups.push(row['startup_ms'] as number)
    this.#suites.set(keyOf(project, suite), loaded)
    for (const key of this.#suites.keys()) {
      if (this.#suites.size <= suitesMax) break
      this.#suites.delete(key)
    }
  }

  estimates(project: string, suite: string, files: readonly string[]): Estimates {
    const key = keyOf(project, suite)
    const known = this.#suites.get(key) ?? { files: new Map<string, number[]>(), startups: [] }
    if (this.#suites.delete(key)) this.#suites.set(key, known)
    return { durationsMs: files.map((file) => median(known.files.get(file))), startupMs: median(known.startups) }
  }

  learn(rows: Rows): void {
    for (const { project, suite, file, outcome, duration_ms: durationMs } of rows.attempts) {
      if (file === null || durationMs === null || (outcome !== 'passed' && outcome !== 'failed')) continue
      const known = this.#suites.get(keyOf(project ?? '', suite ?? ''))
      if (known === undefined) continue
      const list = known.files.get(file)
      if (list === undefined) known.files.set(file, [durationMs])
      else remember(list, durationMs)
    }
    for (const { project, suite, startup_ms: startupMs } of rows.batch_ends) {
      const known = this.#suites.get(keyOf(project ?? '', suite ?? ''))
      if (known !== undefined && startupMs !== null) remember(known.startups, startupMs)
    }
  }
}

function keyOf(project: string, suite: string): string {
  return `${project}\n${suite}`
}

function remember(list: number[], value: number): void {
  list.push(value)
  if (list.length > kept) list.shift()
}

function median(values: readonly number[] | undefined): number | null {
  if (values === undefined || values.length === 0) return null
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
