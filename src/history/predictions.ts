/** The question `predict`: for each project what its models' last competition came to, made anew when there is more to go by. */
import type { FileEstimate, PredictRow, StartupRow } from './history.ts'
import type { Questions } from './messages.ts'
import type { HistoryStore } from './store.ts'

/** `write`: what must not overlap with an apply. */
type Write = (work: () => Promise<void>) => Promise<void>

export async function predict(
  store: HistoryStore,
  write: Write,
  ask: Questions['predict']['ask'],
): Promise<PredictRow[]> {
  const rows: PredictRow[] = []
  for (const project of ask.project === undefined ? await projectsOf(store) : [ask.project]) {
    await write(() => store.models.load(project))
    if (!store.models.isFresh(project)) {
      const row = await store.models.compete(project, () => true)
      if (row !== undefined && row.samples !== 0) await write(() => store.keepModel(row))
    }
    const { model: _, ...kept } = store.models.keptOf(project)!
    const startups = await startupsOf(store, project)
    const files = ask.files === true ? { files: await filesOf(store, write, project) } : {}
    rows.push({ project, ...kept, startups, ...files })
  }
  return rows
}

async function projectsOf(store: HistoryStore): Promise<string[]> {
  const rows = await store.query('SELECT DISTINCT project FROM runs WHERE project IS NOT NULL ORDER BY project')
  return rows.map((row) => row['project'] as string)
}

/** As measured there, not scaled: the machine is named. The middle of the newest. */
async function startupsOf(store: HistoryStore, project: string): Promise<StartupRow[]> {
  const rows = await store.query(
    `WITH machines AS (SELECT worker, arg_max(host, at_ms) AS host, arg_max(name, at_ms) AS name FROM workers GROUP BY worker)
     SELECT r.framework, coalesce(m.host, b.worker) AS host, arg_max(coalesce(m.name, b.worker), b.at_ms) AS name,
       count(*)::DOUBLE AS batches, list_median(max_by(b.startup_ms, b.at_ms, 12)) AS startup_ms
     FROM batch_ends b JOIN runs r USING (run) LEFT JOIN machines m ON m.worker = b.worker
     WHERE b.project = $project AND b.startup_ms IS NOT NULL GROUP BY r.framework, coalesce(m.host, b.worker) ORDER BY 1, 3, 2`,
    { project },
  )
  return rows.map((row) => ({
    framework: row['framework'] as string,
    host: row['host'] as string,
    name: row['name'] as string,
    startupMs: row['startup_ms'] as number,
    batches: row['batches'] as number,
  }))
}

async function filesOf(store: HistoryStore, write: Write, project: string): Promise<FileEstimate[]> {
  const suites = await store.query('SELECT DISTINCT suite FROM runs WHERE project = $project ORDER BY suite', {
    project,
  })
  const files: FileEstimate[] = []
  for (const row of suites) {
    const suite = row['suite'] as string
    const question = { project, suite, files: [] }
    await write(async () => {
      if (!store.durations.isLoaded(question)) await store.durations.load(question)
    })
    files.push(...store.durations.fileEstimates(project, suite))
  }
  return files.sort((a, b) => b.ms - a.ms)
}
