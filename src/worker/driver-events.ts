/**
 * Lines from a reporter become DriverEvents, or nothing. The reporter runs inside the user's process
 * and others may write to its descriptor, so everything is checked here, once.
 */
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { TestError, TestResult } from '../protocol/results.ts'
import type { DriverEvent } from '../runners/runner.ts'

const File = Type.String({ minLength: 1 })

const schema = {
  'file-start': Compile(Type.Object({ file: File })),
  test: Compile(Type.Object({ test: TestResult })),
  'file-end': Compile(
    Type.Object({
      file: File,
      durationMs: Type.Number(),
      errors: Type.Optional(Type.Array(TestError)),
      skipped: Type.Optional(Type.Boolean()),
    }),
  ),
  error: Compile(Type.Object({ error: TestError, file: Type.Optional(Type.String()) })),
  end: Compile(Type.Object({})),
}

/** Undefined when the line is not an event. */
export function parseDriverEvent(line: string): DriverEvent | undefined {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    // Something else wrote to the descriptor; the caller says so.
    return undefined
  }
  const type = (value as { type?: unknown } | null)?.type
  if (typeof type !== 'string' || !Object.hasOwn(schema, type)) return undefined
  return schema[type as keyof typeof schema].Check(value) ? (value as DriverEvent) : undefined
}
