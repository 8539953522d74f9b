/**
 * A coordinator's API as functions. Every failure is a MusterError whose code is the problem's own,
 * so that callers never look at statuses.
 */
import type { HealthView, PlanBody, Problem, RunAction, SubmitBody } from '../protocol/api.ts'
import { errorCatalogue, MusterError, type ErrorCode } from '../protocol/errors.ts'
import type { FeedMessage, RunView, TaskRecord, TaskView, WorkerDetailView, WorkerView } from '../protocol/run-view.ts'
import { Unreachable, type Request, type Response, type Transport } from './transport.ts'

export type PlanView = {
  readonly durationsMs: readonly (number | null)[]
  /** Where each is from: `history` is the file's own. Absent of a coordinator that doesn't say. */
  readonly bases?: readonly string[]
  readonly startupMs: number | null
  readonly knownRatio: number
  readonly workers: readonly WorkerView[]
}

/** Asking for the same again changes nothing more. */
const repeatableActions: readonly RunAction[] = ['cancel', 'pause', 'resume', 'prioritise', 'seal']

/** Which log position an answer reflects; sent back, so that no other coordinator shows an older state. */
const positionHeader = 'muster-position'

/** WebSocket's own codes of connections that were closed without one. */
const closeWords: Readonly<Record<number, string>> = { 1005: 'it was closed', 1006: 'it ended without a word' }

/** A coordinator answers this at once or hangs. */
const healthTimeoutMs = 10_000

export class Client {
  readonly transport: Transport
  readonly #name: string
  /** The highest position seen in an answer. */
  #position = 0

  /** `name`: who this is, for people, e.g. `ann@laptop`. */
  constructor(transport: Transport, name: string) {
    this.transport = transport
    this.#name = name
  }

  health(): Promise<HealthView> {
    return this.#json<HealthView>({ method: 'GET', path: '/health', timeoutMs: healthTimeoutMs })
  }

  /** `traceparent`: W3C trace context of whoever submits, if it is part of a trace. */
  submit(body: SubmitBody, key: string, traceparent?: string): Promise<RunView> {
    const headers = { 'idempotency-key': key, ...(traceparent === undefined ? {} : { traceparent }) }
    return this.#post<RunView>('/runs', body, { repeatable: true, headers })
  }

  plan(body: PlanBody): Promise<PlanView> {
    return this.#post<PlanView>('/plan', body, { repeatable: true })
  }

  async runs(): Promise<readonly RunView[]> {
    return (await this.#json<{ runs: RunView[] }>({ method: 'GET', path: '/runs' })).runs
  }

  run(run: string): Promise<RunView> {
    return this.#json<RunView>({ method: 'GET', path: `/runs/${encodeURIComponent(run)}` })
  }

  spec(run: string): Promise<SubmitBody & { readonly cwd: string }> {
    return this.#json({ method: 'GET', path: `/runs/${encodeURIComponent(run)}/spec` })
  }

  act(run: string, action: RunAction, body: Record<string, unknown> = {}): Promise<RunView> {
    const repeatable = repeatableActions.includes(action)
    return this.#post<RunView>(`/runs/${encodeURIComponent(run)}/${action}`, body, { repeatable })
  }

  /** Tasks in their order; `states` keeps only those. */
  async *tasks(run: string, states?: readonly string[]): AsyncGenerator<TaskView> {
    const filter = states === undefined ? '' : `&state=${states.join(',')}`
    let cursor: number | undefined = 0
    while (cursor !== undefined) {
      const path = `/runs/${encodeURIComponent(run)}/tasks?limit=10000&cursor=${cursor}${filter}`
      const page: { tasks: TaskView[]; next?: number } = await this.#json({ method: 'GET', path })
      yield* page.tasks
      cursor = page.next
    }
  }

  async *records(run: string): AsyncGenerator<TaskRecord> {
    const response = await this.#ask({ method: 'GET', path: `/runs/${encodeURIComponent(run)}/results` })
    for await (const line of lines(response.body)) yield JSON.parse(line) as TaskRecord
  }

  async *output(run: string, task?: number): AsyncGenerator<string> {
    const query = task === undefined ? '' : `?task=${task}`
    const response = await this.#ask({ method: 'GET', path: `/runs/${encodeURIComponent(run)}/output${query}` })
    const decoder = new TextDecoder()
    for await (const bytes of response.body) yield decoder.decode(bytes, { stream: true })
  }

  async workers(): Promise<readonly WorkerView[]> {
    return (await this.#json<{ workers: WorkerView[] }>({ method: 'GET', path: '/workers' })).workers
  }

  /** By its id or its name. */
  worker(named: string): Promise<WorkerDetailView> {
    return this.#json<WorkerDetailView>({ method: 'GET', path: `/workers/${encodeURIComponent(named)}` })
  }

  /** An answer as it comes. */
  async *bytes(path: string): AsyncGenerator<Uint8Array> {
    yield* (await this.#ask({ method: 'GET', path })).body
  }

  get<T>(path: string): Promise<T> {
    return this.#json<T>({ method: 'GET', path })
  }

  post<T>(path: string, body: unknown): Promise<T> {
    return this.#post<T>(path, body)
  }

  shutdown(): Promise<unknown> {
    return this.#post('/shutdown', {})
  }

  /** Which of the blobs the coordinator lacks. */
  async missingBlobs(keys: readonly string[]): Promise<readonly string[]> {
    return (await this.#post<{ missing: string[] }>('/blobs/missing', { keys }, { repeatable: true })).missing
  }

  /** `open` gives the bytes from their start each time it is called. */
  async putBlob(key: string, open: () => AsyncIterable<Uint8Array>, length: number): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' }
    const body = { open, length }
    const response = await this.#ask({ method: 'PUT', path: `/blobs/${key}`, headers, body, repeatable: true })
    await text(response.body)
  }

  /**
   * Messages of a run until its `end`, which is the last. Throws coordinator_unreachable when the
   * connection breaks before that: watch again, the first message is a whole snapshot.
   */
  async *watch(run: string): AsyncGenerator<FeedMessage> {
    // Kept for the message: once this one is lost, the transport is at the next.
    const { address } = this.transport
    const socket = this.transport.openSocket(
      `/feed?run=${encodeURIComponent(run)}`,
      this.#position === 0 ? {} : { [positionHeader]: String(this.#position) },
    )
    let queue: FeedMessage[] = []
    let closed: { code: number; reason: string } | undefined
    let wake: () => void = () => undefined
    socket.onMessage = (frame) => {
      for (const line of frame.split('\n')) queue.push(JSON.parse(line) as FeedMessage)
      wake()
    }
    socket.onClose = (code, reason) => {
      closed = { code, reason }
      wake()
    }
    try {
      for (;;) {
        if (queue.length === 0 && !closed) {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
        const batch = queue
        queue = []
        for (const message of batch) {
          if ('position' in message) this.#saw(message.position)
          yield message
          if (message.type === 'end') return
        }
        if (closed && queue.length === 0) throw closedError(address, run, closed)
      }
    } finally {
      socket.close()
    }
  }

  #post<T>(path: string, body: unknown, more: Pick<Request, 'headers' | 'repeatable'> = {}): Promise<T> {
    const headers = { 'content-type': 'application/json', ...more.headers }
    return this.#json<T>({ method: 'POST', path, ...more, headers, body: JSON.stringify(body) })
  }

  async #json<T>(request: Request): Promise<T> {
    const response = await this.#ask(request)
    return JSON.parse(await text(response.body)) as T
  }

  async #ask(request: Request): Promise<Response> {
    const headers = {
      'muster-client': this.#name,
      ...(this.#position === 0 ? {} : { [positionHeader]: String(this.#position) }),
      ...request.headers,
    }
    const repeatable = request.repeatable ?? request.method === 'GET'
    const response = await this.transport.request({ ...request, path: `/api/v1${request.path}`, headers, repeatable })
    this.#saw(Number(response.headers[positionHeader] ?? 0))
    if (response.status >= 200 && response.status < 300) return response
    throw problemError(response, await text(response.body), this.transport.address)
  }

  #saw(position: number | undefined): void {
    if (position !== undefined && position > this.#position) this.#position = position
  }
}

function closedError(address: string, run: string, closed: { code: number; reason: string }): MusterError {
  if (closed.code === 4404)
    return new MusterError('not_found', `The coordinator at ${address} does not know run ${run}`)
  if (closed.code === 4401)
    return new MusterError('unauthorized', `The coordinator at ${address} no longer lets this in: ${closed.reason}`)
  const why = closed.reason === '' ? (closeWords[closed.code] ?? `code ${closed.code}`) : closed.reason
  return new Unreachable(`The connection to ${address} broke (${why})`, { why, connected: true })
}

function problemError({ status, headers, alsoTried }: Response, body: string, address: string): MusterError {
  let problem: Partial<Problem> = {}
  try {
    problem = JSON.parse(body) as Partial<Problem>
  } catch {
    // Not ours: something between us and a coordinator answered. The status tells.
  }
  const others = alsoTried === undefined || alsoTried.length === 0 ? '' : `; before it: ${alsoTried.join(', ')}`
  if (problem.code !== undefined && problem.code in errorCatalogue) {
    const seconds = Number(headers['retry-after'])
    return new MusterError(
      problem.code as ErrorCode,
      `${problem.detail ?? problem.title ?? `HTTP ${status}`}${others}`,
      {
        ...(problem.hint === undefined ? {} : { hint: problem.hint }),
        ...(seconds > 0 ? { retryAfterMs: seconds * 1000 } : {}),
      },
    )
  }
  const why = `it answered with HTTP ${status}, which is no answer of a Muster coordinator`
  return new Unreachable(`Cannot reach the coordinator at ${address}: ${why}${others}`, {
    why,
    connected: true,
    hint: 'Check the address; a proxy in between may have answered.',
  })
}

async function text(body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder()
  let all = ''
  for await (const bytes of body) all += decoder.decode(bytes, { stream: true })
  return all + decoder.decode()
}

async function* lines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of body) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split('\n')
    rest = parts.pop()!
    for (const part of parts) if (part !== '') yield part
  }
  if (rest !== '') yield rest
}
