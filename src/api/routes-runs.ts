/** Runs: submit, look, act. */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteGenericInterface } from 'fastify'
import Value from 'typebox/value'
import type { SubmitRequest } from '../coordinator/submissions.ts'
import { checkManifest } from '../coordinator/workspace-check.ts'
import { dependenciesAmong } from '../core/dependencies.ts'
import type { RunSpec } from '../core/entities.ts'
import { Refused, type Input } from '../core/input.ts'
import type { Run } from '../core/state.ts'
import { ActionBody, BulkActionBody, runActions, SubmitBody, type RunAction } from '../protocol/api.ts'
import { MusterError } from '../protocol/errors.ts'
import { parseTraceparent } from '../telemetry/traces/trace-context.ts'
import { keptRead } from './kept-reads.ts'
import type { ApiOptions } from './options.ts'
import { dependenciesOf, needsOf, priorityOfBody } from './request-needs.ts'
import {
  checkFileBytes,
  checkFiles,
  repeaterOf,
  userOf,
  versionOf,
  whoOf,
  type ContextRequest,
  type RunParams,
} from './request-parts.ts'
import { faultWords } from './schema-fault.ts'

const hourMs = 3_600_000

export async function runRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  app.post<{ Body: SubmitBody }>('/runs', { schema: { body: SubmitBody } }, async (request, reply) => {
    const { body } = request
    const key = request.headers['idempotency-key']
    checkFiles(body.files)
    checkFileBytes(body)
    const dependencies = dependenciesOf(body)
    if (body.workspace?.type === 'travel') await checkManifest(coordinator.blobs, body.workspace.manifest)
    const run = await coordinator.submitRun({
      who: whoOf(request),
      ...(typeof key === 'string' ? { key } : {}),
      spec: {
        ...specOf(body),
        ...needsOf(body, Date.now()),
        ...traceOf(request.headers),
        user: userOf(request, body.user),
      },
      files: body.files,
      ...(body.kinds === undefined ? {} : { kinds: body.kinds }),
      ...(dependencies === undefined ? {} : { dependencies }),
      ...(body.admission === undefined ? {} : { admission: body.admission }),
      ...(body.fileBytes === undefined ? {} : { fileBytes: body.fileBytes }),
      ...(body.context === undefined ? {} : { context: body.context }),
    })
    return show(reply.status(201).header('Location', `/api/v1/runs/${run.id}`), run)
  })

  app.get(
    '/runs',
    keptRead<RouteGenericInterface>(coordinator, () => {
      const runs = coordinator.runs()
      return { value: `{"runs":[${runs.map(textOf).join(',')}]}`, runs, lists: true }
    }),
  )

  app.get<{ Params: RunParams }>(
    '/runs/:run',
    keptRead<{ Params: RunParams }>(coordinator, (request) => {
      const run = coordinator.run(request.params.run)
      return { value: coordinator.view(run), runs: [run], version: run.version }
    }),
  )

  /** One run as it stands in the list; most have ended, and stay as they are. */
  function textOf(run: Run): string {
    const { answers } = coordinator
    const { text } = answers.find(run.id) ?? answers.keep(run.id, coordinator.view(run), { runs: [run] })
    return String(text)
  }

  app.get<{ Params: RunParams }>('/runs/:run/spec', async (request) => {
    const { context: _, ...spec } = coordinator.run(request.params.run).spec
    return spec
  })

  app.get<ContextRequest>('/runs/:run/context', { config: { allow: ['worker'] } }, async (request) => {
    const context = await coordinator.contextOf(request.params.run, request.query.reference)
    if (!context) throw new Refused('not_found', `run ${request.params.run} has no context any more`)
    return context
  })

  for (const action of runActions) {
    app.post<{ Params: RunParams; Body: ActionBody | null }>(`/runs/:run/${action}`, async (request, reply) => {
      const body = bodyOf(request.body)
      const run = await act(action, request.params.run, body, request, versionOf(request), traceOf(request.headers))
      return show(reply, run)
    })
  }

  app.post<{ Body: ActionBody & { action: RunAction; runs: string[] } }>(
    '/runs/actions',
    { schema: { body: BulkActionBody } },
    async (request) => {
      const { action, runs, ...body } = request.body
      const results = await Promise.all(
        runs.map(async (id) => {
          try {
            const run = await act(action, id, body, request, undefined)
            return { run: id, ok: true, state: run.state, ...(run.id === id ? {} : { created: run.id }) }
          } catch (error) {
            if (!(error instanceof Refused)) throw error
            return { run: id, ok: false, code: error.code, detail: error.message }
          }
        }),
      )
      return { results }
    },
  )

  async function act(
    action: RunAction,
    id: string,
    body: ActionBody,
    request: FastifyRequest,
    version: number | undefined,
    trace: Pick<RunSpec, 'traceparent'> = {},
  ): Promise<Run> {
    if (action === 'rerun') return rerun(coordinator.run(id), body.which ?? 'all', request, trace)
    await coordinator.submit(actionInput(action, id, body, whoOf(request), version))
    return coordinator.run(id)
  }

  async function rerun(
    run: Run,
    which: 'all' | 'failed' | 'lost',
    request: FastifyRequest,
    trace: Pick<RunSpec, 'traceparent'>,
  ): Promise<Run> {
    const states = which === 'failed' ? ['failed', 'timed-out', 'lost'] : ['lost', 'cancelled']
    const chosen = run.tasks.flatMap((task, index) => (which === 'all' || states.includes(task.state) ? [index] : []))
    const files = chosen.map((index) => run.tasks[index]!.file)
    if (files.length === 0) throw new Refused('conflict', `run ${run.id} has no ${which} tasks`)
    const context = await coordinator.contextOf(run.id)
    // What it came after is over, and so is its deadline.
    const { context: _, traceparent: __, after: ___, deadlineAtMs: ____, ...spec } = run.spec
    const dependencies = dependenciesAmong(run, chosen)
    const complete = spec.complete && files.length === run.tasks.length
    return coordinator.submitRun({
      who: whoOf(request),
      spec: { ...spec, ...trace, complete, open: false, user: repeaterOf(request, spec.user) },
      files,
      ...(spec.needs === undefined ? {} : { kinds: chosen.map((index) => run.tasks[index]!.kind) }),
      ...(dependencies.length === 0 ? {} : { dependencies }),
      ...(context ? { context } : {}),
    })
  }

  function show(reply: FastifyReply, run: Run) {
    reply.header('ETag', `"${run.version}"`)
    return reply.send(coordinator.view(run))
  }
}

/** Of a submitter that is part of a trace itself (W3C trace context); what is no traceparent is left out, as the standard asks. */
function traceOf({
  traceparent,
}: Readonly<Record<string, string | string[] | undefined>>): Pick<RunSpec, 'traceparent'> {
  return typeof traceparent === 'string' && parseTraceparent(traceparent) ? { traceparent } : {}
}

function specOf(body: SubmitBody): SubmitRequest['spec'] {
  return {
    framework: body.framework,
    frameworkVersion: body.frameworkVersion ?? '',
    suite: body.suite ?? body.framework,
    project: body.project ?? 'default',
    cwd: body.cwd ?? '',
    workspace: body.workspace ?? { type: 'none' },
    paths: body.paths ?? [],
    args: body.args ?? [],
    complete: body.complete ?? false,
    ...(body.cpus === undefined ? {} : { cpus: body.cpus }),
    ...(body.workersMax === undefined ? {} : { workersMax: body.workersMax }),
    retries: body.retries ?? 0,
    ...(body.retry === undefined ? {} : { retry: body.retry }),
    taskTimeoutMs: body.taskTimeoutMs ?? hourMs,
    maxFailures: body.maxFailures ?? 0,
    priority: priorityOfBody(body),
    labels: body.labels ?? {},
    ...(body.startupMs === undefined ? {} : { startupMs: body.startupMs }),
    open: body.open ?? false,
    noWorkerTimeoutMs: body.noWorkerTimeoutMs ?? hourMs,
    ...(body.deadLetters === undefined ? {} : { deadLetters: body.deadLetters }),
  }
}

function bodyOf(body: unknown): ActionBody {
  if (body === null || body === undefined) return {}
  if (Value.Check(ActionBody, body)) return body
  throw new MusterError('request_invalid', faultWords(Value.Errors(ActionBody, body), 'body'))
}

function actionInput(
  action: Exclude<RunAction, 'rerun'>,
  run: string,
  body: ActionBody,
  who: string,
  version: number | undefined,
): Input {
  const base = { run, who, ...(version === undefined ? {} : { version }) }
  const why = body.why ?? `asked by ${who}`
  switch (action) {
    case 'cancel':
      return { type: 'cancel', ...base, why, drain: body.drain ?? false }
    case 'pause':
      return { type: 'pause', ...base, why }
    case 'prioritise':
      if (body.priority === undefined) throw new MusterError('request_invalid', 'expected a priority')
      return { type: 'prioritise', ...base, priority: priorityOfBody(body) }
    default:
      return { type: action, ...base }
  }
}
