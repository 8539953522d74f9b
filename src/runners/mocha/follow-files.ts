/**
 * Reads what mocha's processes that don't have descriptor 3 (the workers of `--parallel`, a process restarted with Node flags)
 * append to a file, while they run. And watches the name of the file being loaded: mocha loads all files before it runs any, so
 * a file counts as started when it runs; but one that crashes or hangs while it is loaded has to be named too.
 */
import { closeSync, openSync, readFileSync, readSync, unlinkSync } from 'node:fs'
import { StringDecoder } from 'node:string_decoder'
import type { BatchReader, BatchSink, DriverEvent } from '../runner.ts'

const pollMs = 50
/** A file that has been loading for this long counts as started, so that its time limit runs. */
const slowLoadMs = 3000

export function followFiles(sink: BatchSink, events: string, loading: string): BatchReader {
  const tail = new Tail(events)
  let current: { readonly file: string; readonly sinceMs: number } | undefined

  const readEvents = (): void => {
    for (const line of tail.read()) sink.event(JSON.parse(line) as DriverEvent)
  }
  /** Whoever removes the file first says that it started: this side, or the reporter when it runs. */
  const take = (): void => {
    const text = readIfThere(loading)
    if (text?.endsWith('\n') && removeIfThere(loading)) sink.event({ type: 'file-start', file: text.slice(0, -1) })
  }
  const watchLoading = (): void => {
    const file = readIfThere(loading)
    if (file === undefined || file === '') current = undefined
    else if (current?.file !== file) current = { file, sinceMs: performance.now() }
    else if (performance.now() - current.sinceMs > slowLoadMs) take()
  }
  const timer = setInterval(() => {
    readEvents()
    watchLoading()
  }, pollMs)
  timer.unref()
  return {
    exit: async () => {
      clearInterval(timer)
      readEvents()
      tail.close()
      // Still there: the process died while it loaded this file.
      take()
    },
  }
}

function removeIfThere(file: string): boolean {
  try {
    unlinkSync(file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Complete lines that were appended since the last read. */
class Tail {
  readonly #file: string
  readonly #decoder = new StringDecoder('utf8')
  readonly #chunk = Buffer.alloc(64 * 1024)
  #fd: number | undefined
  #rest = ''

  constructor(file: string) {
    this.#file = file
  }

  read(): string[] {
    if (this.#fd === undefined) {
      try {
        this.#fd = openSync(this.#file, 'r')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
        throw error
      }
    }
    for (let size = readSync(this.#fd, this.#chunk); size > 0; size = readSync(this.#fd, this.#chunk)) {
      this.#rest += this.#decoder.write(this.#chunk.subarray(0, size))
    }
    const lines = this.#rest.split('\n')
    this.#rest = lines.pop() ?? ''
    return lines
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}
