/**
 * Runs a helper process (a version question, a listing) to its end and keeps what it printed. Never the
 * test process itself: that one is the worker's. The process gets its own group, so that stopping it
 * stops what it started.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'

export type Captured = {
  /** Null when it was ended by a signal or never started. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** It could not be started (no such program, no permission). */
  readonly startError?: Error
}

export type CaptureOptions = {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}

/** Bytes kept of each stream; a listing of 100,000 files fits, a runaway process doesn't. */
const bytesMax = 64 * 1024 * 1024

export async function capture(argv: readonly string[], options: CaptureOptions): Promise<Captured> {
  options.signal?.throwIfAborted()
  const child = spawn(argv[0]!, argv.slice(1), {
    cwd: options.cwd,
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const stop = (): void => killGroup(child)
  const timer = options.timeoutMs === undefined ? undefined : setTimeout(stop, options.timeoutMs)
  options.signal?.addEventListener('abort', stop, { once: true })
  const stdout = collect(child.stdout, stop)
  const stderr = collect(child.stderr, stop)
  try {
    return await new Promise<Captured>((resolve) => {
      child.once('error', (error) => resolve({ code: null, stdout: '', stderr: error.message, startError: error }))
      child.once('close', (code) => resolve({ code, stdout: stdout(), stderr: stderr() }))
    })
  } finally {
    clearTimeout(timer)
    options.signal?.removeEventListener('abort', stop)
    options.signal?.throwIfAborted()
  }
}

function collect(stream: NodeJS.ReadableStream, overflow: () => void): () => string {
  const chunks: Buffer[] = []
  let bytes = 0
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > bytesMax) overflow()
    else chunks.push(chunk)
  })
  return () => Buffer.concat(chunks).toString('utf8')
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    // Gone already.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** The end of what a failed process printed, for an error message. */
export function lastWords(captured: Captured, linesMax = 30): string {
  const text = `${captured.stdout}\n${captured.stderr}`.trim()
  return text.split('\n').slice(-linesMax).join('\n')
}
