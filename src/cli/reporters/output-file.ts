/**
 * Where a data reporter writes. A file is written under a temporary name beside its place and then
 * renamed, so that nobody ever reads half a report; whether that will work is tried when the run
 * starts, not after an hour of tests. `-` is stdout. What exists and is not a plain file (a pipe,
 * `/dev/fd/3`) is written as it is.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { MusterError } from '../../protocol/errors.ts'
import type { TextSink } from '../../reports/text-sink.ts'
import type { OutputStream } from './terminal.ts'

export interface Output {
  /** Throws MusterError `usage` when it can't be written. */
  prepare(): Promise<void>
  /** Hands `produce` a sink; the output is complete when this resolves. */
  write(produce: (sink: TextSink) => Promise<void>): Promise<void>
}

/** `path` is relative to `cwd`; `-` is `stdout`. */
export function outputTo(path: string, cwd: string, stdout: OutputStream): Output {
  return path === '-' ? streamOutput(stdout) : fileOutput(resolve(cwd, path))
}

function streamOutput(stream: OutputStream): Output {
  return {
    prepare: () => Promise.resolve(),
    write: (produce) =>
      produce(
        (text) =>
          new Promise((done, fail) => {
            stream.write(text, (error) => (error ? fail(error) : done()))
          }),
      ),
  }
}

function fileOutput(path: string): Output {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.${randomUUID().slice(0, 8)}.tmp`)
  const special = async (): Promise<boolean> => {
    const found = await stat(path).catch(absent)
    if (found?.isDirectory()) throw new Error('it is a directory')
    return found !== undefined && !found.isFile()
  }
  const attempt = async (action: () => Promise<void>): Promise<void> => {
    try {
      await action()
    } catch (cause) {
      const said = cause instanceof Error ? cause.message : String(cause)
      throw new MusterError('usage', `Cannot write the report '${path}': ${said}`, {
        cause,
        hint: 'Give a path in a directory that you may write to.',
      })
    }
  }
  return {
    prepare: () =>
      attempt(async () => {
        if (await special()) return
        await mkdir(dirname(path), { recursive: true })
        await (await open(temporary, 'w')).close()
        await rm(temporary)
      }),
    write: (produce) =>
      attempt(async () => {
        const direct = await special()
        const file = await open(direct ? path : temporary, 'w')
        try {
          await produce(async (text) => void (await file.write(text)))
        } catch (error) {
          await file.close()
          if (!direct) await rm(temporary, { force: true })
          throw error
        }
        await file.close()
        if (!direct) await rename(temporary, path)
      }),
  }
}

function absent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
  throw error
}
