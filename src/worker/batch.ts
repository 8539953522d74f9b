/**
 * One batch from assignment to its last word: find the place and the environment, let the runner
 * say how the framework is started, run it, collect what it reports, judge how it ended. It never
 * signals a process itself: it asks the agent, which can do that even while this thread is busy.
 */
import { readdir, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { isMusterError, MusterError } from '../protocol/errors.ts'
import type { Assign, Ended, RunContext } from '../protocol/worker-messages.ts'
import type {
  BatchCommand,
  BatchReader,
  CommandSuite,
  Detection,
  DriverEvent,
  Project,
  Runner,
} from '../runners/runner.ts'
import { AttemptDir } from './attempt-dir.ts'
import { BatchReporter } from './batch-reporter.ts'
import { BatchResults } from './batch-results.ts'
import { parseDriverEvent } from './driver-events.ts'
import { batchEnvironment, callersTempDir, type Place, projectEnvironment } from './environment.ts'
import { type GuardedExit, type ProcessRequest, runGuarded } from './guarded-process.ts'
import { LineSplitter } from './line-splitter.ts'
import { lastLines, OutputCapture } from './output-capture.ts'
import type { FromExecutor, WorkerLog } from './thread-messages.ts'
import { type Expiry, TimeLimits } from './time-limits.ts'
import { UsageMeter } from './usage.ts'

const timeoutGraceMs = 2000
/** A framework that has reported everything may take so long to leave. */
const leaveMs = 30_000
const lastWordsLines = 20

export type BatchServices = {
  readonly worker: string
  readonly tempRoot: string
  readonly log: WorkerLog
  readonly post: (message: FromExecutor) => void
  /** Resolves when nothing is left of the process; to how many had to be ended. */
  readonly cleaned: (pid: number) => Promise<number>
  readonly context: (run: string, reference: string) => Promise<RunContext>
  readonly runner: (framework: string) => Promise<Runner>
  /** Brings the workspace in; resolves to its root, and a function that gives it back. */
  readonly workspace: (
    request: WorkspaceRequest,
  ) => Promise<{ readonly root: string; readonly release: () => Promise<void> }>
}

export type WorkspaceRequest = {
  readonly manifest: string
  readonly setup: string | undefined
  readonly signal: AbortSignal
  readonly output: (text: string) => void
  /** Starts a process of this batch in the workspace. */
  readonly run: (argv: readonly string[], root: string, output: (chunk: Buffer) => void) => Promise<GuardedExit>
}

export class Batch {
  readonly #assign: Assign
  /** What it was granted, as variables that go over the run's own. */
  readonly #granted: Readonly<Record<string, string | undefined>>
  readonly #services: BatchServices
  readonly #reporter: BatchReporter
  readonly #results: BatchResults
  readonly #output: OutputCapture
  readonly #abort = new AbortController()
  readonly #attempt: AttemptDir
  readonly #meter = new UsageMeter()
  #stderrTail = Buffer.alloc(0)
  #limits: TimeLimits | undefined
  #ending: { readonly reason: 'cancelled' | 'fenced'; readonly why: string } | undefined
  #abandoned = false
  #timedOut: readonly number[] | undefined
  #lingered = false
  #spawnedMs: number | undefined
  #sawStart = false
  #release: (() => Promise<void>) | undefined

  constructor(
    assign: Assign,
    granted: Readonly<Record<string, string | undefined>>,
    name: string,
    services: BatchServices,
  ) {
    this.#assign = assign
    const { memoryBytes } = assign
    this.#granted = {
      ...granted,
      ...(memoryBytes === undefined ? {} : { MUSTER_MEMORY_BYTES: String(memoryBytes) }),
    }
    this.#services = services
    this.#attempt = new AttemptDir(services.tempRoot, name, services.log)
    this.#reporter = new BatchReporter(assign, services.post)
    this.#output = new OutputCapture((text) => this.#reporter.output(text))
    this.#results = new BatchResults(assign.tasks, assign.files, this.#reporter, {
      started: (task) => this.#limits?.started(task),
      reported: (task) => this.#limits?.reported(task),
      remark: (text) => this.#output.write(`${text}\n`),
    })
  }

  /** Its processes are being ended by the agent. */
  end(reason: 'cancelled' | 'fenced', why: string): void {
    this.#ending ??= { reason, why }
    this.#results.freeze()
    this.#abort.abort(new MusterError('conflict', reason === 'fenced' ? why : `Cancelled: ${why}`))
  }

  /** As end, without a report. */
  abandon(): void {
    this.#abandoned = true
    this.end('cancelled', 'the coordinator does not know it any more')
  }

  async run(): Promise<void> {
    const beganMs = performance.now()
    let end: Pick<Ended, 'reason' | 'exitCode' | 'signal' | 'message'>
    try {
      const command = await this.#prepare()
      this.#abort.signal.throwIfAborted()
      end = this.#judge(await this.#execute(command), command.command.cleanExitCodes ?? [])
    } catch (error) {
      const message = describeError(error)
      end = {
        reason: this.#ending?.reason ?? 'failed-to-start',
        exitCode: null,
        signal: null,
        message,
      }
      if (!isMusterError(error))
        this.#services.log(
          'warning',
          `Batch ${this.#assign.batch} failed to start: ${(error as Error).stack ?? message}`,
        )
    }
    this.#limits?.close()
    await this.#release?.()
    await this.#attempt.remove()
    this.#output.flush()
    if (this.#abandoned) {
      this.#reporter.close()
      return this.#services.post({ type: 'abandoned', batch: this.#assign.batch })
    }
    const timedOut = this.#timedOut ?? []
    const { firstStartMs } = this.#results
    const { usage } = this.#meter
    this.#reporter.ended({
      ...end,
      startupMs:
        firstStartMs === undefined || this.#spawnedMs === undefined || !this.#sawStart
          ? null
          : firstStartMs - this.#spawnedMs,
      wallMs: performance.now() - (this.#spawnedMs ?? beganMs),
      interrupted: [...new Set([...this.#results.running, ...timedOut])],
      timedOut: [...timedOut],
      errors: this.#results.errors,
      ...(usage && { usage }),
      output: this.#output.text(),
    })
  }

  // Before the process.

  async #prepare(): Promise<{ command: BatchCommand; env: Record<string, string>; cwd: string }> {
    const { framework, run, batch, files, complete, paths, args, cpus } = this.#assign
    const [context, runner] = await Promise.race([
      Promise.all([this.#services.context(run, this.#assign.context), this.#services.runner(framework)]),
      aborted(this.#abort.signal),
    ])
    this.#abort.signal.throwIfAborted()
    const place = await this.#place(context)
    const projectEnv = projectEnvironment(context.env, process.env, place)
    const project = await readProject(place.cwd, projectEnv)
    const detection = await this.#detection(context, runner, project)
    const command = await runner.command({
      project,
      detection,
      files,
      complete,
      paths,
      args,
      cpus,
      tempDir: this.#attempt.runner,
      ...(context.suite !== undefined && { suite: context.suite as CommandSuite }),
    })
    const env = batchEnvironment(projectEnv, place, { run, batch, worker: this.#services.worker })
    return { command, env: this.#withGrant({ ...env, ...command.env }), cwd: command.cwd ?? place.cwd }
  }

  #withGrant(env: Record<string, string>): Record<string, string> {
    const own = { ...env }
    for (const [name, value] of Object.entries(this.#granted)) {
      if (value === undefined) delete own[name]
      else own[name] = value
    }
    return own
  }

  async #place(context: RunContext): Promise<Place> {
    const { workspace, cwd } = this.#assign
    const tempDir = this.#attempt.temp
    if (workspace.type === 'none') return { type: 'none', cwd: this.#attempt.work, tempDir }
    if (workspace.type === 'in-place') {
      this.#attempt.linkCaches(callersTempDir(context.env, '/tmp'))
      return { type: 'in-place', cwd, tempDir }
    }
    const { root, release } = await this.#services.workspace({
      manifest: workspace.manifest,
      setup: workspace.setup,
      signal: this.#abort.signal,
      output: (text) => this.#output.write(text),
      run: (argv, directory, output) => this.#runSetup(context, argv, directory, output),
    })
    this.#release = release
    const inside = path.resolve(root, cwd)
    if (inside !== root && !inside.startsWith(root + path.sep)) {
      throw new MusterError(
        'workspace_invalid',
        `The working directory '${cwd}' leaves the workspace: expected a path inside it`,
      )
    }
    return { type: 'travel', cwd: inside, tempDir }
  }

  #runSetup(
    context: RunContext,
    argv: readonly string[],
    root: string,
    output: (chunk: Buffer) => void,
  ): Promise<GuardedExit> {
    const place: Place = { type: 'travel', cwd: root, tempDir: this.#attempt.temp }
    const { run, batch } = this.#assign
    const env = batchEnvironment(projectEnvironment(context.env, process.env, place), place, {
      run,
      batch,
      worker: this.#services.worker,
    })
    return this.#guarded({
      argv,
      cwd: root,
      env: this.#withGrant(env),
      directory: this.#attempt.root,
      stdout: output,
      stderr: output,
    })
  }

  /** In place what the caller found is true here too; elsewhere the paths in it are another host's. */
  async #detection(context: RunContext, runner: Runner, project: Project): Promise<Detection> {
    const callers = context.detection as Detection
    if (this.#assign.workspace.type === 'in-place' || runner.framework === 'command') return callers
    const own = await runner.detect(project)
    if (own === undefined) {
      throw new MusterError(
        'framework_not_found',
        `${runner.framework} ${callers.version} was not found in the workspace on this worker`,
        {
          hint: 'Give a set-up command that installs it.',
        },
      )
    }
    if (own.problem !== undefined) throw new MusterError('tool_missing', own.problem)
    return own
  }

  // While it runs.

  #guarded(request: ProcessRequest): Promise<GuardedExit> {
    const { post, cleaned } = this.#services
    const { batch } = this.#assign
    return runGuarded(request, {
      spawned: (pid) => {
        this.#meter.spawned(pid)
        post({ type: 'spawned', batch, pid })
      },
      exited: (pid) => {
        this.#meter.exited(pid)
        post({ type: 'exited', batch, pid })
        return cleaned(pid)
      },
    })
  }

  async #execute({
    command,
    env,
    cwd,
  }: {
    command: BatchCommand
    env: Record<string, string>
    cwd: string
  }): Promise<GuardedExit> {
    const isFolder = await stat(cwd).then(
      (found) => found.isDirectory(),
      () => false,
    )
    if (!isFolder)
      throw new MusterError('workspace_invalid', `The working directory ${cwd} does not exist on this worker`)
    const { tasks, cpus, taskTimeoutMs } = this.#assign
    const reader =
      command.reader?.({ event: (event) => this.#event(event), output: (text) => this.#output.write(text) }) ?? {}
    const channel = new LineSplitter((line) => this.#channelLine(line))
    const stdout = this.#readLines(reader, 'stdoutLine')
    const stderr = this.#readLines(reader, 'stderrLine')
    this.#spawnedMs = performance.now()
    this.#limits = new TimeLimits(taskTimeoutMs, taskTimeoutMs * Math.ceil(tasks.length / cpus), (expiry) =>
      this.#expired(expiry),
    )
    const exit = await this.#guarded({
      argv: command.argv,
      cwd,
      env,
      directory: this.#attempt.root,
      stdout: stdout.push,
      stderr: (chunk) => {
        this.#stderrTail = Buffer.concat([this.#stderrTail, chunk.subarray(-16 * 1024)]).subarray(-16 * 1024)
        stderr.push(chunk)
      },
      channel: (chunk) => channel.push(chunk),
    }).catch((error: Error) => {
      throw new MusterError('framework_failed', `Cannot start ${command.argv[0]}: ${error.message}`, { cause: error })
    })
    channel.end()
    stdout.end()
    stderr.end()
    if (exit.leftovers > 0)
      this.#remark(`${exit.leftovers} process(es) outlived ${this.#assign.framework} and were ended`)
    // What is only learnt from reports afterwards says nothing of when the first file began.
    this.#sawStart = this.#results.firstStartMs !== undefined
    await reader.exit?.({ code: exit.code, signal: exit.signal })
    return exit
  }

  /** A stream for people, unless the runner's reader takes lines out of it. */
  #readLines(
    reader: BatchReader,
    method: 'stdoutLine' | 'stderrLine',
  ): { push: (chunk: Buffer) => void; end: () => void } {
    if (reader[method] === undefined) return { push: (chunk) => this.#output.write(chunk), end: () => {} }
    const lines = new LineSplitter((line) => {
      if (reader[method]!(line) !== true) this.#output.write(`${line}\n`)
    })
    return { push: (chunk) => lines.push(chunk), end: () => lines.end() }
  }

  #channelLine(line: string): void {
    const event = parseDriverEvent(line)
    if (event !== undefined) this.#event(event)
    else this.#remark(`a line on descriptor 3 is not an event: ${line.slice(0, 200)}`)
  }

  #event(event: DriverEvent): void {
    const wasComplete = this.#results.complete && this.#results.ended
    this.#results.event(event)
    if (!wasComplete && this.#results.complete && this.#results.ended) this.#limits?.allowQuiet(leaveMs)
  }

  #expired(expiry: Expiry): void {
    if (this.#results.complete) {
      this.#lingered = true
      this.#remark(`${this.#assign.framework} had reported everything and did not exit: it was ended`)
    } else {
      const began = this.#results.firstStartMs !== undefined
      this.#timedOut = expiry.type === 'tasks' ? expiry.tasks : began ? [] : this.#results.waiting
      this.#remark(
        `time is up${expiry.type === 'quiet' ? `: ${this.#assign.framework} ran no file and said nothing` : ''}; it is ended`,
      )
    }
    this.#results.freeze()
    this.#services.post({ type: 'terminate', batch: this.#assign.batch, graceMs: timeoutGraceMs })
  }

  #remark(text: string): void {
    this.#output.write(`muster: ${text}\n`)
  }

  // After it.

  #judge(
    { code, signal }: GuardedExit,
    cleanExitCodes: readonly number[],
  ): Pick<Ended, 'reason' | 'exitCode' | 'signal' | 'message'> {
    const exit = { exitCode: code, signal }
    const { framework } = this.#assign
    const how = signal === null ? `exited with code ${code}` : `was ended by ${signal}`
    if (this.#results.complete) {
      const isClean = code !== null && (code === 0 || cleanExitCodes.includes(code))
      const blameless = isClean || this.#lingered || this.#ending !== undefined || this.#results.failed > 0
      if (!blameless && this.#results.errors.length === 0) {
        this.#results.errors.push({
          message: `${framework} ${how} although every test passed`,
          stack: this.#lastWords(),
        })
      }
      return { reason: 'completed', ...exit }
    }
    if (this.#timedOut !== undefined) return { reason: 'timed-out', ...exit, message: this.#lastWords() }
    if (this.#ending !== undefined) return { reason: this.#ending.reason, ...exit, message: this.#ending.why }
    return {
      reason: 'crashed',
      ...exit,
      message: `${framework} ${how} before every file was reported\n${this.#lastWords()}`.trimEnd(),
    }
  }

  #lastWords(): string {
    return lastLines(this.#stderrTail, lastWordsLines) || this.#output.lastLines(lastWordsLines)
  }
}

/** Rejects with the signal's reason; the context may be long in coming while the coordinator is away. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason as Error)
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}

function describeError(error: unknown): string {
  if (isMusterError(error)) return error.hint === undefined ? error.message : `${error.message}. ${error.hint}`
  return error instanceof Error ? error.message : String(error)
}

async function readProject(cwd: string, env: Readonly<Record<string, string>>): Promise<Project> {
  const entries = new Set(await readdir(cwd).catch(() => []))
  if (!entries.has('package.json')) return { cwd, env, entries, packageJson: undefined }
  const text = await readFile(path.join(cwd, 'package.json'), 'utf8')
  try {
    return { cwd, env, entries, packageJson: JSON.parse(text) as NonNullable<Project['packageJson']> }
  } catch (error) {
    throw new MusterError(
      'config_invalid',
      `Cannot parse ${path.join(cwd, 'package.json')}: ${(error as Error).message}`,
    )
  }
}
