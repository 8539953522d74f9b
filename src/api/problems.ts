/** Every error as a problem document (RFC 9457); which status and title belong to a code, the catalogue says. */
import { Refused } from '../core/input.ts'
import type { Problem } from '../protocol/api.ts'
import { errorCatalogue, isMusterError, type ErrorCode } from '../protocol/errors.ts'

export function makeProblem(code: ErrorCode, detail: string, hint?: string): Problem {
  const { status, title } = errorCatalogue[code]
  return { type: `urn:muster:problem:${code}`, title, status, detail, code, ...(hint === undefined ? {} : { hint }) }
}

export function problemOf(error: Error & { validation?: unknown; statusCode?: number; code?: string }): Problem {
  if (isMusterError(error)) return makeProblem(error.code, error.message, error.hint)
  if (error instanceof Refused) return makeProblem(error.code === 'stale' ? 'conflict' : error.code, error.message)
  if (error.validation !== undefined || error.statusCode === 400) return makeProblem('request_invalid', error.message)
  if (error.statusCode === 413) return makeProblem('payload_too_large', error.message)
  if (error.statusCode === 415) return makeProblem('request_invalid', `${error.message}; expected application/json`)
  return makeProblem('internal', error.message)
}
