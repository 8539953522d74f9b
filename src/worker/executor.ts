/**
 * The worker's second thread: carries batches out. All that may keep a loop busy happens here, so
 * that the agent's heartbeats and kills never wait.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { MusterError } from '../protocol/errors.ts'
import type { Runner } from '../runners/runner.ts'
import { assert } from '../stdx/assert.ts'
import { Batch, type BatchServices } from './batch.ts'
import { CoordinatorHttp, parseEndpoint } from './endpoint.ts'
import { runNoop } from './noop.ts'
import { RunContexts } from './run-contexts.ts'
import type { ExecutorOptions, FromExecutor, LogLevel, ToExecutor } from './thread-messages.ts'
import { Workspaces } from './workspaces.ts'

assert(parentPort !== null, 'executor.ts runs as a worker thread only')
const port = parentPort
const options = workerData as ExecutorOptions
// What tests start is not to be compiled into it, nor measured by its leave.
if (options.ownCompileCache) delete process.env['NODE_COMPILE_CACHE']
const http = new CoordinatorHttp(options.coordinators.map(({ url, token }) => parseEndpoint(url, token)))
const contexts = new RunContexts(http)
const workspaces = new Workspaces(options.dataDir, http, options.diskBytesMax, log)
const batches = new Map<string, Batch>()
const cleaning = new Map<number, (killed: number) => void>()
/** Directories of attempts in use: the lowest free one is taken, so that paths repeat. */
const attempts = new Set<number>()
type Runners = Readonly<Record<string, () => Promise<Runner>>>
let runners: Promise<Runners> | undefined

function post(message: FromExecutor): void {
  port.postMessage(message)
}

function log(level: LogLevel, message: string): void {
  post({ type: 'log', level, message })
}

async function findRunner(framework: string): Promise<Runner> {
  runners ??= import(options.runnersModule).then((module: { runnersByName: Runners }) => module.runnersByName)
  const load = (await runners)[framework]
  if (load !== undefined) return load()
  throw new MusterError(
    'framework_not_found',
    `This worker has no runner for '${framework}': it knows ${Object.keys(await runners).join(', ')}`,
  )
}

const services: BatchServices = {
  worker: options.worker,
  tempRoot: options.tempRoot,
  log,
  post,
  cleaned: (pid) => new Promise((resolve) => cleaning.set(pid, resolve)),
  context: (run, reference) => contexts.get(run, reference),
  runner: findRunner,
  workspace: (request) => workspaces.acquire(request),
}

async function assign({ assign: message, environment }: Extract<ToExecutor, { type: 'assign' }>): Promise<void> {
  if (message.framework === 'none') return runNoop(message, post)
  let attempt = 0
  while (attempts.has(attempt)) attempt += 1
  attempts.add(attempt)
  const batch = new Batch(message, environment, String(attempt), services)
  batches.set(message.batch, batch)
  await batch.run()
  batches.delete(message.batch)
  attempts.delete(attempt)
}

port.on('message', (message: ToExecutor) => {
  switch (message.type) {
    case 'assign':
      // A rejection would be a bug in Batch: it ends this thread, and the agent reports the batch as crashed.
      return void assign(message)
    case 'end':
      return batches.get(message.batch)?.end(message.reason, message.why)
    case 'abandon':
      // Not there: its last word is on the way already, and will be dropped.
      if (batches.has(message.batch)) batches.get(message.batch)!.abandon()
      else post({ type: 'abandoned', batch: message.batch })
      return
    case 'cleaned':
      cleaning.get(message.pid)?.(message.killed)
      cleaning.delete(message.pid)
      return
    case 'connected':
      return http.prefer(message.index)
    case 'clear':
      return void workspaces.clear().then(() => post({ type: 'cleared' }))
    case 'ping':
      return post({ type: 'pong' })
  }
})
