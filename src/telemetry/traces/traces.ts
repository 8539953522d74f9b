/**
 * Traces of runs, sent to an OpenTelemetry collector when one is configured. Every coordinator projects
 * spans, and only the one that leads sends them. A follower keeps the latest: should it lead, it sends
 * those again that the leader before may have died with. The same span twice is the same span.
 */
import { integrationScope } from '../../core/breaker-state.ts'
import { isOpen } from '../../core/breaker.ts'
import { readResults } from '../../coordinator/worker-reports.ts'
import type { Coordinator } from '../../coordinator/coordinator.ts'
import { isMusterError } from '../../protocol/errors.ts'
import type { TaskResult } from '../../protocol/results.ts'
import type { Say } from '../say.ts'
import { ExportQueue } from './export-queue.ts'
import type { Exporter } from './otlp.ts'
import { traceSettings, type TraceSettings } from './settings.ts'
import { SpanProjection, type Draft } from './span-projection.ts'
import type { SpanCounts } from './span.ts'
import { exceptions, testSpans } from './test-spans.ts'

type Watched = Pick<Coordinator, 'name' | 'state' | 'blobs' | 'observe' | 'submit' | 'note' | 'standing'>

export interface Traces extends AsyncDisposable {
  counts(): SpanCounts
}

const subject = 'traces'
const scope = integrationScope('otlp')
/** What a follower keeps, and for how long. */
const recentMax = 5000
const recentMs = 30_000
/** Attempts whose results wait to be read; beyond this, attempts have no tests below them. */
const readsMax = 5000

/** Undefined when no collector is configured, or when what was asked for can't be done: then health says so. */
export async function openTraces(
  coordinator: Watched,
  version: string,
  say: Say,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Traces | undefined> {
  const settings = traceSettings(env)
  if (settings.type === 'off') return undefined
  if (settings.type === 'refused') return refuse(coordinator, say, settings.why)
  try {
    const { openExporter } = await import('./otlp.ts')
    const traces = new OpenTraces(coordinator, openExporter({ version, instance: coordinator.name }), settings, say)
    say('info', 'traces are sent to a collector', { endpoint: settings.endpoint })
    return traces
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    const missing = /'(@opentelemetry\/[^']+)'/.exec((error as Error).message)?.[1] ?? 'of OpenTelemetry'
    return refuse(coordinator, say, `the package ${missing} is not installed; npm install -g ${missing}`)
  }
}

function refuse(coordinator: Watched, say: Say, why: string): undefined {
  coordinator.note(subject, why)
  say('warn', `no traces are sent: ${why}`, {})
}

class OpenTraces implements Traces {
  readonly #coordinator: Watched
  readonly #exporter: Exporter
  readonly #say: Say
  readonly #projection: SpanProjection
  readonly #queue: ExportQueue
  readonly #unobserve: () => void
  readonly #closeMaxMs: number
  #recent: { readonly atMs: number; readonly drafts: readonly Draft[] }[] = []
  #recentCount = 0
  #unread: Draft[] = []
  #reading: Promise<void> | undefined
  #blob: { readonly key: string; readonly results: readonly TaskResult[] } | undefined

  constructor(coordinator: Watched, exporter: Exporter, settings: Extract<TraceSettings, { type: 'on' }>, say: Say) {
    this.#coordinator = coordinator
    this.#exporter = exporter
    this.#say = say
    this.#closeMaxMs = settings.closeMaxMs
    this.#projection = new SpanProjection(coordinator.state, coordinator.standing().position)
    this.#queue = new ExportQueue({
      ...settings,
      send: (spans) => exporter.send(spans),
      mayCall: () => !isOpen(coordinator.state, scope),
      onOutcome: (problem) => this.#outcome(problem, settings.endpoint),
    })
    this.#unobserve = coordinator.observe((entry) => {
      const drafts = this.#projection.entry(entry, coordinator.state)
      if (entry.appendMs === undefined) this.#remember(entry.atMs, drafts)
      else {
        for (const { drafts: missed } of this.#recent) this.#take(missed)
        this.#recent = []
        this.#recentCount = 0
        this.#take(drafts)
      }
    })
  }

  counts(): SpanCounts {
    const { exported, dropped, waiting } = this.#queue
    return { exported, dropped, waiting: waiting + this.#unread.length }
  }

  #remember(atMs: number, drafts: readonly Draft[]): void {
    if (drafts.length > 0) this.#recent.push({ atMs, drafts })
    this.#recentCount += drafts.length
    while (this.#recent.length > 0 && (this.#recentCount > recentMax || this.#recent[0]!.atMs < atMs - recentMs)) {
      this.#recentCount -= this.#recent.shift()!.drafts.length
    }
  }

  #take(drafts: readonly Draft[]): void {
    const ready: Draft[] = []
    for (const draft of drafts) {
      if (draft.attempt !== undefined && this.#unread.length < readsMax && !this.#queue.full) this.#unread.push(draft)
      else ready.push(draft)
    }
    if (ready.length > 0) this.#queue.add(ready.map(({ span }) => span))
    this.#startReading()
  }

  #startReading(): void {
    if (this.#unread.length === 0) return
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
      // What came after the last look.
      this.#startReading()
    })
  }

  /** One after the other: neighbours share a blob, and nobody is in a hurry. */
  async #read(): Promise<void> {
    for (let draft = this.#unread.shift(); draft; draft = this.#unread.shift()) {
      const { span, attempt } = draft
      const result = await this.#result(attempt!.results!)
      if (result === undefined) this.#queue.add([span])
      else {
        const errors = exceptions(result.errors ?? [], span.endMs)
        this.#queue.add([{ ...span, events: [...span.events, ...errors] }, ...testSpans(span, result)])
      }
    }
    this.#blob = undefined
  }

  async #result({ blob, line }: { readonly blob: string; readonly line: number }): Promise<TaskResult | undefined> {
    try {
      if (this.#blob?.key !== blob)
        this.#blob = { key: blob, results: await readResults(this.#coordinator.blobs, blob) }
      return this.#blob.results[line]
    } catch (error) {
      this.#say('warn', 'results cannot be read for a trace', {
        blob,
        error: isMusterError(error) ? error.message : String(error),
      })
      return undefined
    }
  }

  #outcome(problem: string | undefined, endpoint: string): void {
    const words = problem === undefined ? undefined : `the collector at ${endpoint} fails: ${problem}`
    this.#coordinator.note(subject, words)
    if (problem !== undefined) this.#say('warn', 'spans could not be sent', { endpoint, error: problem })
    if (this.#coordinator.standing().role !== 'leader') return
    const failed = problem === undefined ? 0 : 1
    // Only the count is lost when the coordinator is busy, or about to stop.
    this.#coordinator
      .submit({ type: 'observe', scope, ok: 1 - failed, failed, why: problem ?? '' })
      .catch(() => undefined)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unobserve()
    const sent = (async () => {
      while (this.#reading) await this.#reading
      await this.#queue.flush()
      this.#queue.close()
      await this.#exporter.close()
    })()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#closeMaxMs)
    })
    await Promise.race([sent, late]).finally(() => clearTimeout(timer))
    this.#queue.close()
  }
}
