/**
 * From a submitted run to its result, wherever it ends: with the coordinator that took it or, when that stays
 * away and a local fallback was asked for, with a local run of the files whose result nobody here knows.
 * The result says which part ran where, and its verdict is that of both parts together.
 */
import { randomUUID } from 'node:crypto'
import type { Client } from '../client/client.ts'
import { isMusterError, MusterError } from '../protocol/errors.ts'
import type { FeedMessage, RunView, TaskRecord } from '../protocol/run-view.ts'
import { callersTrace } from '../telemetry/traces/trace-context.ts'
import { combinedMessage, combinedRecords, combinedView, KnownResults, type CombinedParts } from './combined-run.ts'
import type { Connection } from './connect.ts'
import { whyLocal, type RunCoordinator } from './fallback.ts'
import { needsOfSome } from './file-needs.ts'
import type { Interrupts } from './interrupts.ts'
import { persistStream } from './persist.ts'
import type { RunPlan } from './run-plan.ts'
import { watchRun, type Watched } from './run-watch.ts'
import { fallbackWords, submission, type RunTimes, type SubmissionFlags } from './submission.ts'

export type Followed = Watched & {
  readonly records: () => AsyncIterable<TaskRecord>
  /** Where it ran, when that isn't where it was meant to. */
  readonly place?: string
}

export type FollowOptions = {
  readonly coordinator: RunCoordinator
  readonly connection: Connection
  readonly plan: RunPlan
  readonly flags: SubmissionFlags
  readonly times: RunTimes
  readonly interrupts: Interrupts
  /** How long a coordinator may be away. */
  readonly patienceMs: number
  /** Resolves when all that this run comes after is over, with the reason why it is not to be run here, if there is one. */
  readonly turn?: () => Promise<string | undefined>
  readonly onMessage: (message: FeedMessage) => void
}

const cancelAgainMs = 5000

export async function followRun(run: string, options: FollowOptions): Promise<Followed> {
  const { coordinator, connection, plan, interrupts, patienceMs, onMessage } = options
  const say = (text: string) => onMessage({ type: 'notice', level: 'warning', text })
  const known = coordinator.fallback === 'none' ? undefined : new KnownResults(plan.files)
  try {
    const watched = await watchRun({
      connection,
      run,
      interrupt: interrupts.signal,
      patienceMs,
      onMessage(message) {
        if (known) remember(known, message, connection.client)
        onMessage(message)
      },
      say,
    })
    const stored = () => persistStream(connection, { awayMaxMs: patienceMs }, () => connection.client.records(run))
    if (!coordinator.isLocal(connection)) return { ...watched, records: stored }
    const place = fallbackWords(coordinator.why!)
    return { ...watched, place, records: () => placed(stored(), place) }
  } catch (error) {
    const why = coordinator.isLocal(connection) ? undefined : whyLocal(error, coordinator.fallback)
    const stops = interrupts.signal.aborted || known?.run === undefined || known.run.state === 'cancelling'
    if (why === undefined || stops) throw error
    return finishHere(known, why, options)
  }
}

/** What ended while the feed was interrupted is asked for; should that fail too, the next snapshot asks again. */
function remember(known: KnownResults, message: FeedMessage, client: Client): void {
  const again = message.type === 'snapshot' && known.run !== undefined
  known.message(message)
  if (!again) return
  known.fill(client).catch((error: unknown) => {
    if (!isMusterError(error)) throw error
  })
}

async function finishHere(known: KnownResults, why: string, options: FollowOptions): Promise<Followed> {
  const { coordinator, connection, plan, flags, times, interrupts, patienceMs, onMessage } = options
  const say = (text: string) => onMessage({ type: 'notice', level: 'warning', text })
  const indices = known.missing()
  const { length: planned } = plan.files
  const elsewhere = connection.client.transport.address
  say(`no coordinator came back: ${why}`)
  say(`${known.results.size} of ${planned} files have a result; running the other ${indices.length} on this host`)
  const here = fallbackWords(`${indices.length} of ${planned} files, because ${why}`)
  const parts: CombinedParts = { known, indices, places: { known: elsewhere, local: here } }
  if (indices.length === 0) {
    const run = combinedView(parts, undefined)
    return { run, interrupted: false, place: here, records: () => combinedRecords(parts, nothing()) }
  }
  const stopCancelling = cancelWhenBack(connection.client, known.run!.run)
  try {
    const begun = known.run?.startedAtMs !== undefined
    const not = begun ? undefined : await options.turn?.()
    if (not !== undefined) throw new MusterError('coordinator_unreachable', `${why}, and ${not}`)
    const local = await coordinator.goLocal(why)
    const rest: RunPlan = {
      ...plan,
      files: indices.map((index) => plan.files[index]!),
      fileBytes: indices.map((index) => plan.fileBytes[index]!),
      needs: needsOfSome(plan.needs, indices),
      complete: false,
    }
    const { maxFailures = 0 } = flags
    const left = maxFailures === 0 ? {} : { maxFailures: Math.max(1, maxFailures - known.failures) }
    // The runs that it came after are over if it began, and nobody here knows them.
    const { ours: _, ...own } = flags
    const order = begun ? { after: [] } : {}
    const body = await submission(local, rest, { ...own, ...left, ...order }, times)
    const { run: id } = await local.client.submit(body, randomUUID(), callersTrace())
    const watched = await watchRun({
      connection: local,
      run: id,
      interrupt: interrupts.signal,
      patienceMs,
      onMessage: (message) => onMessage(combinedMessage(parts, message)),
      say,
    })
    return {
      run: withLocalId(combinedView(parts, watched.run), id),
      interrupted: watched.interrupted,
      place: here,
      records: () => combinedRecords(parts, local.client.records(id)),
    }
  } finally {
    stopCancelling()
  }
}

/** What a coordinator that comes back too late still holds would run a second time. */
function cancelWhenBack(client: Client, run: string): () => void {
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  const attempt = () => {
    client.act(run, 'cancel', { why: 'the client went on without the coordinator' }).catch((error: unknown) => {
      if (!isMusterError(error)) throw error
      // Any other answer came from a coordinator that is back: then there is nothing left to cancel.
      if (stopped || error.code !== 'coordinator_unreachable') return
      timer = setTimeout(attempt, cancelAgainMs)
      timer.unref()
    })
  }
  attempt()
  return () => {
    stopped = true
    clearTimeout(timer)
  }
}

/** The whole keeps the id that the coordinator knows it by; history on this host knows the other one. */
function withLocalId(view: RunView, local: string): RunView {
  return { ...view, reason: `${view.reason ?? ''} (the part run here is ${local})`.trim() }
}

async function* placed(records: AsyncIterable<TaskRecord>, place: string): AsyncGenerator<TaskRecord> {
  for await (const record of records) yield { ...record, place }
}

async function* nothing(): AsyncGenerator<TaskRecord> {}
