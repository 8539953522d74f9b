/**
 * Lines from a reporter become DriverEvents, or nothing. The reporter runs inside the user's process
 * and others may write to its descriptor, so everything is checked here, once.
 */
import type { DriverEvent } from '../runners/runner.ts'
import { arrayOf, boolean, number, object, oneOf, optional, type Shape, string } from './shape.ts'

const file: Shape = (value) => typeof value === 'string' && value !== ''
const status = oneOf('passed', 'failed', 'skipped', 'todo')

export const isTestError = object({
  message: string,
  type: optional(string),
  stack: optional(string),
  expected: optional(string),
  actual: optional(string),
  file: optional(string),
  line: optional(number),
})
const isTestTry = object({
  status,
  durationMs: number,
  errors: optional(arrayOf(isTestError)),
  output: optional(string),
})
export const isTestResult = object({
  file,
  name: arrayOf(string),
  project: optional(string),
  status,
  durationMs: number,
  line: optional(number),
  errors: optional(arrayOf(isTestError)),
  output: optional(string),
  tries: optional(arrayOf(isTestTry)),
  reason: optional(string),
})

const shapes: Readonly<Record<DriverEvent['type'], Shape>> = {
  'file-start': object({ file }),
  test: object({ test: isTestResult }),
  'file-end': object({
    file,
    durationMs: number,
    errors: optional(arrayOf(isTestError)),
    skipped: optional(boolean),
  }),
  error: object({ error: isTestError, file: optional(string) }),
  end: object({}),
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
  if (typeof type !== 'string' || !Object.hasOwn(shapes, type)) return undefined
  return shapes[type as DriverEvent['type']](value) ? (value as DriverEvent) : undefined
}
