/**
 * Asks a program something: no shell, a group of its own, bounded in time and output. A driver's tool
 * may hang where no signal reaches it (a card that fell off the bus), so at its time limit the answer is given up and
 * not waited for; and while it hangs, it is not started once more.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** What a program has written so shortly before its end still counts. */
const drainMs = 200
/** Longest wait for the end of one that was killed. */
const killedMs = 1000
const outputBytesMax = 1024 * 1024
/** Nobody's tests wait because of us. */
const niceness = 10

export type Question = {
  readonly timeoutMs: number
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
  /** Some print their version where others complain. */
  readonly stderrToo?: boolean
}

/** It ran to its end, and says by its exit code that something went wrong. */
export class EndedBadly extends Error {
  override readonly name = 'EndedBadly'
  /** What it had to say all the same. */
  readonly stdout: string

  constructor(message: string, stdout: string) {
    super(message)
    this.stdout = stdout
  }
}

/** Its stdout. Rejects with an Error whose message is one for people: "nvidia-smi ended with 9: …". */
export async function ask(program: string, args: readonly string[], question: Question): Promise<string> {
  const name = path.basename(program)
  if (question.signal.aborted) throw new Error(`${name} was not asked: the worker ends`)
  // To fork only to find that there is no such program costs ten times as much as to look.
  const file = programOnPath(program, question.env['PATH'])
  if (file === undefined) throw new Error(`${name} is not on PATH`)
  // What was given up is killed, which mostly takes a moment only.
  const waitedMs = performance.now() + killedMs
  while (hanging.has(file) && performance.now() < waitedMs) await sleep(killedMs / 50)
  if (hanging.has(file)) throw new Error(`${name} hangs since it was last asked, and can't be ended`)
  return start(file, args, question)
}

function start(file: string, args: readonly string[], question: Question): Promise<string> {
  const name = path.basename(file)
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const child = spawn(file, args, {
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...question.env, LC_ALL: 'C' },
  })
  const output = { stdout: '', stderr: '' }
  let hangs = false
  const giveUp = (why: string): void => {
    const runs = child.pid !== undefined && child.exitCode === null && child.signalCode === null
    if (runs && !hangs) {
      hangs = true
      hanging.set(file, (hanging.get(file) ?? 0) + 1)
      child.once('exit', () => letGo(file))
    }
    endGroup(child)
    reject(new Error(`${name} ${why}`))
  }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text
      if (output[stream].length > outputBytesMax) giveUp(`printed more than ${outputBytesMax / 1024} KiB`)
    })
  }
  const timer = setTimeout(() => giveUp(`did not answer within ${question.timeoutMs / 1000} s`), question.timeoutMs)
  const onAbort = (): void => giveUp('was not waited for: the worker ends')
  question.signal.addEventListener('abort', onAbort, { once: true })
  child.once('error', (error) => {
    reject(new Error(`${name} cannot be started: ${error.message}`))
  })
  const finish = (code: number | null, signal: string | null): void => {
    if (code === 0) return resolve(question.stderrToo === true ? output.stdout + output.stderr : output.stdout)
    const words = firstLine(output.stderr) || firstLine(output.stdout)
    reject(new EndedBadly(`${name} ended with ${code ?? signal}${words === '' ? '' : `: ${words}`}`, output.stdout))
  }
  child.once('close', finish)
  // A process that it left behind may hold its pipes for as long as it likes.
  let drain: NodeJS.Timeout | undefined
  child.once('exit', (code, signal) => {
    drain = setTimeout(() => finish(code, signal), drainMs)
  })
  if (child.pid !== undefined) lowerPriority(child.pid)
  return promise.finally(() => {
    clearTimeout(timer)
    clearTimeout(drain)
    question.signal.removeEventListener('abort', onAbort)
    endGroup(child)
    child.stdout.destroy()
    child.stderr.destroy()
    child.unref()
  })
}

/** By file: how many of them were given up and have not ended yet. */
const hanging = new Map<string, number>()

function letGo(file: string): void {
  const others = (hanging.get(file) ?? 1) - 1
  if (others === 0) hanging.delete(file)
  else hanging.set(file, others)
}

/** Undefined when it is nowhere. A path is taken as it is. */
export function programOnPath(program: string, searched: string | undefined): string | undefined {
  if (program.includes('/')) return program
  for (const folder of (searched ?? '').split(path.delimiter)) {
    const file = path.join(folder, program)
    if (!path.isAbsolute(file)) continue
    try {
      accessSync(file, constants.X_OK)
      // A folder may be entered, which is the same permission.
      if (statSync(file).isFile()) return file
    } catch {
      // Not in this folder, or not for us.
    }
  }
  return undefined
}

/** Also what it started. */
export function endGroup(child: Pick<ChildProcess, 'pid'>): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    // ESRCH: gone already. EPERM: nothing of it is ours any more.
    if (!['ESRCH', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

export function lowerPriority(pid: number): void {
  try {
    os.setPriority(pid, niceness)
  } catch {
    // Gone already, or a system that knows no priorities: it runs like everything else.
  }
}

function firstLine(text: string): string {
  return (text.trim().split('\n')[0] ?? '').trim().slice(0, 200)
}
