/** Durations as the tables have them, as the models want them. Columns, not rows: there are hundreds of thousands. */
import type { Sample } from '../analysis/competition.ts'
import type { Observation } from '../analysis/observation.ts'
import { observationsKept } from '../analysis/robust.ts'

export type Columns = (sql: string, values: Record<string, string | number | null>) => Promise<readonly unknown[][]>

/** Durations that the models of one project are trained on and compete over, at most, and of one file. */
const samplesMax = 30_000
const perFileMax = 30

/** Attempts that ran to their end, whatever became of their run, and those that were stopped at their limit. */
const tells = `outcome IN ('passed', 'failed', 'timed-out') AND duration_ms IS NOT NULL AND file IS NOT NULL`
/** Numbers throughout: reading a hundred thousand of the same three words takes longer than finding them. */
const circumstances = `at_ms::DOUBLE, duration_ms, coalesce(speed, 1), beside / host_cpus, cpus,
  list_position(['passed', 'failed', 'timed-out'], outcome)::INTEGER`
const endings = ['passed', 'failed', 'timed-out'] as const

/** The newest observations of every file of a suite, oldest first. */
export async function recentObservations(
  columns: Columns,
  project: string,
  suite: string,
): Promise<Map<string, Observation[]>> {
  const [files, ...rest] = await columns(
    `SELECT file, ${circumstances} FROM attempts WHERE project = $project AND suite = $suite AND ${tells}
     QUALIFY row_number() OVER (PARTITION BY file ORDER BY at_ms DESC) <= ${observationsKept}`,
    { project, suite },
  )
  const found = new Map<string, Observation[]>()
  for (const [row, name] of (files as string[]).entries()) {
    const list = found.get(name)
    if (list === undefined) found.set(name, [observationAt(rest, row)])
    else list.push(observationAt(rest, row))
  }
  for (const list of found.values()) list.sort((a, b) => a.atMs - b.atMs)
  return found
}

export async function countSamples(columns: Columns, project: string): Promise<number> {
  const [counts] = await columns(`SELECT count(*)::DOUBLE FROM attempts WHERE project = $project AND ${tells}`, {
    project,
  })
  return counts![0] as number
}

/** The newest of every file, and of a share of the files where there would be too many. */
export async function samplesOf(
  columns: Columns,
  project: string,
  bytesOf: (suite: string, file: string) => number | null,
): Promise<Sample[]> {
  const [counts] = await columns(
    `SELECT coalesce(sum(least(n, ${perFileMax})), 0)::DOUBLE
     FROM (SELECT count(*) AS n FROM attempts WHERE project = $project AND ${tells} GROUP BY suite, file)`,
    { project },
  )
  const oneOf = Math.max(1, Math.ceil((counts![0] as number) / samplesMax))
  const [suites, files, asked, ...rest] = await columns(
    `SELECT a.suite, a.file, coalesce(r.created_ms, a.started_ms, a.at_ms)::DOUBLE, ${circumstances.replace('at_ms', 'a.at_ms')}
     FROM (FROM attempts WHERE project = $project AND ${tells} AND hash(file) % ${oneOf} = 0
           QUALIFY row_number() OVER (PARTITION BY suite, file ORDER BY at_ms DESC) <= ${perFileMax}) a
     LEFT JOIN (SELECT run, min(created_ms) AS created_ms FROM runs WHERE project = $project GROUP BY run) r USING (run)`,
    { project },
  )
  return (suites as string[]).map((suite, row) => {
    const file = (files as string[])[row]!
    return {
      suite,
      file,
      askedAtMs: (asked as number[])[row]!,
      bytes: bytesOf(suite, file),
      observation: observationAt(rest, row),
    }
  })
}

function observationAt(columns: readonly unknown[][], row: number): Observation {
  const [atMs, durationMs, speed, load, cpus, ending] = columns as [
    number[],
    number[],
    number[],
    (number | null)[],
    (number | null)[],
    number[],
  ]
  return {
    atMs: atMs[row]!,
    durationMs: durationMs[row]!,
    speed: speed[row]!,
    load: load[row]!,
    cpus: cpus[row]!,
    ending: endings[ending[row]! - 1]!,
  }
}
