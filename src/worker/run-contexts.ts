/** Fetches what a run's processes need and the log must never hold; once per run, the latest few are kept. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isMusterError, MusterError } from '../protocol/errors.ts'
import type { RunContext } from '../protocol/worker-messages.ts'
import { type CoordinatorHttp, isPassing } from './endpoint.ts'
import { anything, object, optional, record, string } from './shape.ts'

const contextsMax = 32
const contextBytesMax = 16 * 1024 * 1024
const patienceMs = 60_000
/** A coordinator that follows another knows a new run a moment later than the worker does. */
const laggingMs = 2000

const isRunContext = object({ env: record(string), detection: anything, suite: optional(anything) })

export class RunContexts {
  readonly #http: CoordinatorHttp
  /** Least recently used first. */
  readonly #contexts = new Map<string, Promise<RunContext>>()

  constructor(http: CoordinatorHttp) {
    this.#http = http
  }

  /** `reference`: as the assignment has it, for a coordinator that has not read of the run yet. */
  get(run: string, reference: string): Promise<RunContext> {
    const known = this.#contexts.get(run)
    if (known !== undefined) {
      this.#contexts.delete(run)
      this.#contexts.set(run, known)
      return known
    }
    const fetched = withPatience(() => this.#fetch(run, reference), undefined, this.#http.addresses > 1 ? laggingMs : 0)
    this.#contexts.set(run, fetched)
    fetched.catch(() => this.#contexts.delete(run))
    if (this.#contexts.size > contextsMax) this.#contexts.delete(this.#contexts.keys().next().value!)
    return fetched
  }

  async #fetch(run: string, reference: string): Promise<RunContext> {
    const path = `/api/v1/runs/${encodeURIComponent(run)}/context?reference=${encodeURIComponent(reference)}`
    const context = await this.#http.json(path, contextBytesMax).catch((error: unknown) => {
      if (reference !== '' || !isMusterError(error) || error.code !== 'not_found') throw error
      throw new MusterError(
        'request_invalid',
        `Run ${run} was created without 'context', so no worker can start it: expected 'env' (the environment of its processes) and 'detection' (how the framework was found) in POST /api/v1/runs`,
        { hint: "Give them, or create the run by 'muster run'.", cause: error },
      )
    })
    if (isRunContext(context)) return context as RunContext
    throw new MusterError(
      'request_invalid',
      `The context of run ${run} is not understood: the coordinator and this worker differ in version`,
    )
  }
}

/** A coordinator that restarts is back in a moment; a batch shouldn't fail for that. What is not found may appear within `absentMs`. */
export async function withPatience<T>(action: () => Promise<T>, signal?: AbortSignal, absentMs = 0): Promise<T> {
  const beganMs = performance.now()
  for (let delayMs = 50; ; delayMs = Math.min(delayMs * 2, 2000)) {
    try {
      return await action()
    } catch (error) {
      signal?.throwIfAborted()
      const isAbsent = isMusterError(error) && error.code === 'not_found'
      const patientMs = isPassing(error) ? patienceMs : isAbsent ? absentMs : 0
      if (performance.now() + delayMs - beganMs > patientMs) throw error
      await sleep(delayMs, undefined, { ...(signal && { signal }) })
    }
  }
}
