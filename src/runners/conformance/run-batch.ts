/**
 * Runs one batch of a runner the way a worker does: detect, list, command, then the process itself in
 * a process group of its own with descriptor 3 as the channel of events. Every runner's tests go
 * through here, so that what they prove is the contract and not their own idea of it.
 *
 * It leaves out all judgement: which task failed, crashed or was lost is for the caller to assert.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import type { Readable } from 'node:stream'
import { assert } from '../../stdx/assert.ts'
import { channelFd, channelVariable } from '../channel.ts'
import type {
  BatchCommand,
  BatchReader,
  CommandSuite,
  Detection,
  DriverEvent,
  Listing,
  PackageJson,
  ProcessExit,
  Project,
  Runner,
} from '../runner.ts'

const defaultTimeoutMs = 60_000

export type RunBatchOptions = {
  readonly cwd: string
  /** The tasks to run; default: all that `list` found (then the batch is `complete`). */
  readonly files?: readonly string[]
  readonly paths?: readonly string[]
  readonly args?: readonly string[]
  /** Default 2. */
  readonly cpus?: number
  /** After this the whole process group is killed; default 60 s. */
  readonly timeoutMs?: number
  /** For what hangs on purpose: the time limit begins with the first event of which this is true, however long the start took. */
  readonly hangsFrom?: (event: DriverEvent) => boolean
  readonly suite?: CommandSuite
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Called as each event arrives. */
  readonly onEvent?: (event: DriverEvent) => void
}

export type BatchRun = {
  readonly detection: Detection
  readonly listing: Listing
  readonly command: BatchCommand
  /** In the order in which they arrived. */
  readonly events: readonly DriverEvent[]
  readonly exit: ProcessExit
  readonly stdout: string
  readonly stderr: string
  /** True when the time limit ended it. */
  readonly killed: boolean
  readonly wallMs: number
}

export async function runBatch(runner: Runner, options: RunBatchOptions): Promise<BatchRun> {
  const project = await readProject(options.cwd, options.env)
  const detection = await runner.detect(project)
  assert(detection !== undefined, `${runner.framework} was not detected in ${project.cwd}`)
  assert(detection.problem === undefined, `${runner.framework} can't run: ${detection.problem}`)
  const paths = options.paths ?? []
  const args = options.args ?? []
  const suite = options.suite === undefined ? {} : { suite: options.suite }
  const listing = await runner.list({ project, detection, paths, args, ...suite, signal: AbortSignal.timeout(60_000) })
  const files = options.files ?? listing.files
  const complete = options.files === undefined

  const tempDir = await mkdtemp(path.join(tmpdir(), 'muster-conformance-'))
  try {
    const cpus = options.cpus ?? 2
    const command = await runner.command({ project, detection, files, complete, paths, args, cpus, tempDir, ...suite })
    const startMs = performance.now()
    const outcome = await runProcess(project, command, options)
    return { detection, listing, command, ...outcome, wallMs: performance.now() - startMs }
  } finally {
    await rm(tempDir, { recursive: true, force: true })
  }
}

/** What a CLI would hand to a runner about a directory. */
export async function readProject(cwd: string, env: Readonly<Record<string, string>> = {}): Promise<Project> {
  const entries = new Set(await readdir(cwd))
  const packageJson = entries.has('package.json')
    ? (JSON.parse(await readFile(path.join(cwd, 'package.json'), 'utf8')) as PackageJson)
    : undefined
  return { cwd: path.resolve(cwd), packageJson, entries, env: { ...cleanEnvironment(), ...env } }
}

/** Without what the test process that we are ourselves has set: a framework inside must not think that it is our child. */
function cleanEnvironment(): Record<string, string> {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(process.env)) {
    if (value === undefined || /^(NODE_TEST_|NODE_CHANNEL_|MUSTER_|VITEST|JEST_|TEST$|NODE_ENV$)/.test(name)) continue
    env[name] = value
  }
  return env
}

type Outcome = Pick<BatchRun, 'events' | 'exit' | 'stdout' | 'stderr' | 'killed'>

async function runProcess(
  project: Project,
  command: BatchCommand,
  { timeoutMs = defaultTimeoutMs, hangsFrom, onEvent }: RunBatchOptions,
): Promise<Outcome> {
  const events: DriverEvent[] = []
  const printed = { stdout: '', stderr: '' }
  let waitsToHang = hangsFrom !== undefined
  const emit = (event: DriverEvent): void => {
    events.push(event)
    onEvent?.(event)
    if (waitsToHang && hangsFrom!(event)) {
      waitsToHang = false
      limit(timeoutMs)
    }
  }
  const reader: BatchReader | undefined = command.reader?.({
    event: emit,
    output: (text) => {
      printed.stdout += text
    },
  })

  const [file, ...argv] = command.argv
  assert(file !== undefined, 'a batch command needs an argv[0]')
  const child = spawn(file, argv, {
    cwd: command.cwd ?? project.cwd,
    env: { ...project.env, ...command.env, [channelVariable]: String(channelFd) },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    detached: true,
  })
  let killed = false
  let timer: NodeJS.Timeout | undefined
  const limit = (ms: number): void => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      killed = true
      killGroup(child)
    }, ms)
  }
  limit(waitsToHang ? defaultTimeoutMs : timeoutMs)
  try {
    const lines = [
      readLines(child.stdio[3] as Readable, (line) => emit(JSON.parse(line) as DriverEvent)),
      readLines(child.stdout, (line) => {
        if (reader?.stdoutLine?.(line) !== true) printed.stdout += `${line}\n`
      }),
      readLines(child.stderr, (line) => {
        if (reader?.stderrLine?.(line) !== true) printed.stderr += `${line}\n`
      }),
    ]
    const exit = await new Promise<ProcessExit>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code, signal) => resolve({ code, signal }))
    })
    // Whatever it left behind would keep the pipes open.
    killGroup(child)
    await Promise.all(lines)
    await reader?.exit?.(exit)
    return { events, exit, ...printed, killed }
  } finally {
    clearTimeout(timer)
    killGroup(child)
  }
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    // ESRCH: nobody of the group is left, which is the aim.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function readLines(stream: Readable | null, onLine: (line: string) => void): Promise<void> {
  assert(stream !== null, 'stdio was asked for as a pipe')
  const decoder = new StringDecoder('utf8')
  const rest: string[] = []
  return new Promise((resolve, reject) => {
    stream.on('data', (chunk: Buffer) => {
      try {
        const pieces = decoder.write(chunk).split('\n')
        const last = pieces.pop() ?? ''
        for (const piece of pieces) onLine(rest.splice(0).join('') + piece)
        rest.push(last)
      } catch (error) {
        stream.destroy(error as Error)
      }
    })
    stream.once('error', reject)
    stream.once('close', () => {
      try {
        const last = rest.join('') + decoder.end()
        if (last !== '') onLine(last)
        resolve()
      } catch (error) {
        reject(error as Error)
      }
    })
  })
}
