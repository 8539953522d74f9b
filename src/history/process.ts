/**
 * The history process: owns the DuckDB file, applies what the coordinator feeds, answers its
 * questions. Entries are gathered for a moment and applied together, since a commit costs much more
 * than a row. It runs at a low priority, ends when its parent does, and ends itself when the database
 * fails: the parent starts it again and feeds what was not yet applied.
 */
import { setPriority } from 'node:os'
import { MusterError } from '../protocol/errors.ts'
import { loadDuckdb } from './duckdb.ts'
import type { FedEntry, FromProcess, ProcessFailure, ProcessOptions, Question, ToProcess } from './messages.ts'
import { predict } from './predictions.ts'
import { audit, schedulerChoices, workerEvents, lastFailed, runs, tests } from './queries.ts'
import { recordedRuns } from './recorded-runs.ts'
import { HistoryStore } from './store.ts'

/** A commit costs the same for one entry as for hundreds: they are gathered so long that commits take a tenth of the time. */
const gatherMs = 200
const gatherMaxMs = 2000
const gatherPerApplied = 10
const gatherEntriesMax = 2000
const applyBytesMax = 8 * 1024 * 1024
/** Behind the tests that run on this host, but not so far that the planner waits for its estimates. */
const niceness = 5
const dropOldAfterMs = 60_000
const dropOldEveryMs = 6 * 3_600_000

const options = JSON.parse(process.argv[2]!) as ProcessOptions

let store: HistoryStore | undefined
/** Everything that writes, and everything that must not overlap with a write, in order. */
let writing: Promise<void> = Promise.resolve()
let waiting: FedEntry[] = []
let gathering: NodeJS.Timeout | undefined
/** How long the last portion took. */
let appliedMs = 0
let closing = false
let competing = false

// The parent decides when it ends: a Ctrl-C in the terminal reaches the whole process group.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
process.on('disconnect', () => process.exit(0))
process.on('message', (message: ToProcess) => receive(message))

await start()

async function start(): Promise<void> {
  try {
    const duckdb = await loadDuckdb()
    lowerPriority()
    store = await HistoryStore.open(duckdb, options, (text) => send({ type: 'warning', text }))
  } catch (error) {
    process.send!({ type: 'failed', failure: failureOf(error) } satisfies FromProcess, () => process.exit(1))
    return
  }
  send({ type: 'ready', position: store.position })
  setTimeout(dropOld, dropOldAfterMs)
  setInterval(dropOld, dropOldEveryMs)
}

/** After the loading, which somebody may be waiting for; before DuckDB's threads, which inherit it. */
function lowerPriority(): void {
  try {
    setPriority(niceness)
  } catch (error) {
    // A sandbox may forbid it; then it competes as an equal, and all is right but for the timing.
    send({ type: 'warning', text: `The history process keeps its priority: ${String(error)}` })
  }
}

function receive(message: ToProcess): void {
  switch (message.type) {
    case 'feed':
      for (const entry of message.entries) waiting.push(entry)
      if (waiting.length >= gatherEntriesMax) applyWaiting()
      else gathering ??= setTimeout(applyWaiting, gatherTime())
      return
    case 'flush':
      applyWaiting()
      return
    case 'ask':
      void answer(message.id, message.question)
      return
    case 'close':
      closing = true
      applyWaiting()
      void write(async () => {
        store!.close()
        if (process.connected) process.disconnect?.()
      })
      return
  }
}

function gatherTime(): number {
  return Math.min(gatherMaxMs, Math.max(gatherMs, appliedMs * gatherPerApplied))
}

function applyWaiting(): void {
  clearTimeout(gathering)
  gathering = undefined
  if (waiting.length === 0) return
  void write(async () => {
    while (waiting.length > 0) {
      const portion = takePortion()
      const sinceMs = performance.now()
      await store!.apply(portion)
      appliedMs = performance.now() - sinceMs
      send({ type: 'applied', position: store!.position })
    }
    competeWhenDue()
  })
}

/** Which model estimates a project's durations is found out between other things, one project after the other. */
function competeWhenDue(): void {
  if (competing || closing) return
  const project = store!.models.due()
  if (project === undefined) return
  competing = true
  void (async () => {
    try {
      const row = await store!.models.compete(project, () => !closing)
      if (row !== undefined && !closing) await write(() => store!.keepModel(row))
    } catch (error) {
      // Estimates go on with the model that there is; the next durations bring another try.
      send({ type: 'warning', text: `Durations of ${project} could not be learned: ${failureOf(error).message}` })
    } finally {
      competing = false
    }
  })()
}

function takePortion(): FedEntry[] {
  let bytes = 0
  let count = 0
  while (count < waiting.length && count < gatherEntriesMax && bytes < applyBytesMax) {
    bytes += waiting[count]!.bytes.length
    count += 1
  }
  const portion = waiting.slice(0, count)
  waiting = waiting.slice(count)
  return portion
}

function write(work: () => Promise<void>): Promise<void> {
  writing = writing.then(work).catch((error: unknown) => {
    // Memory and tables may differ now; a fresh process reads the truth from the tables.
    process.send!({ type: 'warning', text: `History failed: ${failureOf(error).message}` } satisfies FromProcess, () =>
      process.exit(1),
    )
    // Nothing that was queued behind it may run.
    return new Promise<void>(() => {})
  })
  return writing
}

async function answer(id: number, question: Question): Promise<void> {
  try {
    send({ type: 'answer', id, value: await ask(store!, question) })
  } catch (error) {
    send({ type: 'refused', id, failure: failureOf(error) })
  }
}

async function ask(from: HistoryStore, question: Question): Promise<unknown> {
  const query = from.query.bind(from)
  switch (question.name) {
    case 'estimates': {
      if (!from.durations.isLoaded(question)) {
        await write(async () => {
          if (!from.durations.isLoaded(question)) await from.durations.load(question)
        })
        competeWhenDue()
      }
      return from.durations.estimates(question)
    }
    case 'predict':
      return predict(from, write, question)
    case 'runs':
      return runs(query, question)
    case 'tests':
      return tests(query, question)
    case 'lastFailed':
      return lastFailed(query, question)
    case 'audit':
      return audit(query, question)
    case 'workerEvents':
      return workerEvents(query, question)
    case 'schedulerChoices':
      return schedulerChoices(query, question)
    case 'recordedRuns':
      return recordedRuns(query, question)
    case 'copy':
      await write(() => from.copy(question.to))
      return from.position
  }
}

function dropOld(): void {
  if (!closing) void write(() => store!.dropOld(Date.now(), options))
}

function send(message: FromProcess): void {
  if (process.connected) process.send?.(message)
}

function failureOf(error: unknown): ProcessFailure {
  if (error instanceof MusterError) return { code: error.code, message: error.message, hint: error.hint }
  return { code: 'unavailable', message: error instanceof Error ? error.message : String(error) }
}
