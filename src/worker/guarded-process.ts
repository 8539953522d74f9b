/**
 * One process of a batch, leader of a group of its own, whose start and end the agent is told. Its
 * outputs are real pipes (named ones, opened and unlinked): Node's own `pipe` is a socket, on which
 * `> /dev/stderr` fails, and a suite that passes alone has to pass here.
 */
import { execFileSync, spawn } from 'node:child_process'
import { closeSync, constants, openSync, rmSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import type { ProcessExit } from '../runners/runner.ts'

/** Time for the last bytes after everything that could write is gone. */
const drainMs = 1000

export type Guard = {
  readonly spawned: (pid: number) => void
  /** Resolves when nothing that the process started is left; to how many processes were. */
  readonly exited: (pid: number) => Promise<number>
}

export type ProcessRequest = {
  readonly argv: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** The pipes' names live here for a moment. */
  readonly directory: string
  readonly stdout: (chunk: Buffer) => void
  readonly stderr: (chunk: Buffer) => void
  /** What comes on descriptor 3; without it there is no such descriptor. */
  readonly channel?: (chunk: Buffer) => void
}

export type GuardedExit = ProcessExit & {
  /** Processes that outlived it and were ended. */
  readonly leftovers: number
}

/** Resolves when it has exited, everything it wrote is read, and nothing it started is left. Rejects when it can't be started. */
export async function runGuarded(request: ProcessRequest, guard: Guard): Promise<GuardedExit> {
  const readers = [request.stdout, request.stderr, ...(request.channel ? [request.channel] : [])]
  const pipes = openPipes(request.directory, readers.length)
  const [program = '', ...args] = request.argv
  const child = spawn(program, args, {
    cwd: request.cwd,
    env: request.env,
    detached: true,
    stdio: ['ignore', ...(pipes?.map((pipe) => pipe.write) ?? readers.map(() => 'pipe' as const))],
  })
  const failedToStart = new Promise<never>((_resolve, reject) => child.once('error', reject))
  const exited = new Promise<ProcessExit>((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
  for (const pipe of pipes ?? []) closeSync(pipe.write)
  const streams = readers.map((reader, index) => {
    const stream = pipes
      ? new net.Socket({ fd: pipes[index]!.read, readable: true, writable: false })
      : (child.stdio[index + 1] as net.Socket)
    stream.on('data', reader)
    return {
      stream,
      ended: new Promise<void>((resolve) => stream.once('error', () => resolve()).once('close', () => resolve())),
    }
  })
  if (child.pid !== undefined) guard.spawned(child.pid)
  try {
    const exit = await Promise.race([exited, failedToStart])
    const leftovers = await guard.exited(child.pid!)
    await Promise.race([Promise.all(streams.map((one) => one.ended)), expiry(drainMs)])
    return { ...exit, leftovers }
  } finally {
    for (const { stream } of streams) stream.destroy()
  }
}

function expiry(afterMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, afterMs).unref())
}

/** Undefined where named pipes can't be made; ordinary ones do then. */
function openPipes(directory: string, count: number): { read: number; write: number }[] | undefined {
  const names = Array.from({ length: count }, (_, index) => path.join(directory, `pipe-${index + 1}`))
  const open: { read: number; write: number }[] = []
  try {
    execFileSync('mkfifo', ['-m', '600', ...names], { stdio: 'ignore' })
    for (const name of names) {
      // The reading end first and without waiting, so that opening the writing end doesn't wait either.
      const read = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK)
      open.push({ read, write: openSync(name, constants.O_WRONLY) })
    }
    return open
  } catch {
    // No mkfifo here, or a file system that has no such files.
    for (const { read, write } of open) {
      closeSync(read)
      closeSync(write)
    }
    return undefined
  } finally {
    for (const name of names) rmSync(name, { force: true })
  }
}
