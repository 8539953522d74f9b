/** The errors of one try as the few fields that report formats know: message, type, trace. */
import { stripVTControlCharacters } from 'node:util'
import type { TestError } from '../protocol/results.ts'

/** First line of the first error, and how many more there are. */
export function errorMessage(errors: readonly TestError[]): string {
  const [first] = errors
  if (first === undefined) return 'failed without a message'
  const message = stripVTControlCharacters(first.message).trim()
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  return (message === '' ? (first.type ?? 'failed without a message') : message) + more
}

export function errorType(errors: readonly TestError[]): string {
  return errors[0]?.type ?? 'Error'
}

/** Everything there is: per error its stack (with the message in front where the stack lacks it), and the values compared. */
export function errorTrace(errors: readonly TestError[]): string {
  return errors
    .map((error) => {
      const parts: string[] = []
      const stack = error.stack ?? ''
      if (!stack.includes(error.message))
        parts.push(
          error.type === undefined || !/^[A-Z]/.test(error.type) ? error.message : `${error.type}: ${error.message}`,
        )
      const compared = error.expected !== undefined && error.actual !== undefined
      if (compared && !(error.message.includes(error.expected!) && error.message.includes(error.actual!))) {
        parts.push(`expected: ${error.expected}`, `received: ${error.actual}`)
      }
      if (stack !== '') parts.push(stack)
      else if (error.file !== undefined)
        parts.push(`at ${error.file}${error.line === undefined ? '' : `:${error.line}`}`)
      return parts.join('\n')
    })
    .map((text) => stripVTControlCharacters(text))
    .join('\n\n')
}
