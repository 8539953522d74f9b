/**
 * The one catalogue of errors that a person or a program meets. Every entry has a stable code, the
 * exit code the CLI ends with, and the HTTP status the API answers with. Messages follow one shape:
 * what was expected, what came, what to do.
 */
export const errorCatalogue = {
  usage: { exitCode: 2, status: 400, title: 'The command line is not understood' },
  config_invalid: { exitCode: 2, status: 400, title: 'The configuration is not valid' },
  framework_not_found: { exitCode: 2, status: 400, title: 'No test framework was found' },
  framework_ambiguous: { exitCode: 2, status: 400, title: 'Several test frameworks were found' },
  framework_failed: { exitCode: 2, status: 400, title: 'The framework could not list its tests' },
  tool_missing: { exitCode: 2, status: 400, title: 'A needed tool is missing' },
  no_tests: { exitCode: 5, status: 400, title: 'No tests were found' },
  request_invalid: { exitCode: 2, status: 400, title: 'The request is not valid' },
  unauthorized: { exitCode: 2, status: 401, title: 'A valid token is needed' },
  forbidden: { exitCode: 2, status: 403, title: 'Not allowed' },
  not_found: { exitCode: 2, status: 404, title: 'Not found' },
  conflict: { exitCode: 2, status: 409, title: 'Not possible in this state' },
  version_mismatch: { exitCode: 2, status: 412, title: 'It changed meanwhile' },
  payload_too_large: { exitCode: 2, status: 413, title: 'The request is too large' },
  overloaded: { exitCode: 3, status: 429, title: 'The coordinator is full' },
  unavailable: { exitCode: 3, status: 503, title: 'The coordinator cannot serve this now' },
  coordinator_unreachable: { exitCode: 3, status: 503, title: 'The coordinator cannot be reached' },
  deadline_unreachable: { exitCode: 3, status: 409, title: 'It cannot be over by its deadline' },
  no_worker: { exitCode: 3, status: 503, title: 'No worker fits' },
  workspace_invalid: { exitCode: 2, status: 400, title: 'The workspace cannot be used' },
  archive_invalid: { exitCode: 2, status: 400, title: 'The archive cannot be used' },
  log_failed: { exitCode: 3, status: 503, title: 'The log could not be written' },
  disk_full: { exitCode: 3, status: 507, title: 'The disk is full' },
  internal: { exitCode: 3, status: 500, title: 'A bug in Muster' },
} as const

export type ErrorCode = keyof typeof errorCatalogue

/** An expected failure of the world. Recognise it by `code`, never by its text. */
export class MusterError extends Error {
  override readonly name = 'MusterError'
  readonly code: ErrorCode
  /** What the reader can do about it; one sentence. */
  readonly hint: string | undefined
  /** When asking again may do; unknown when undefined. */
  readonly retryAfterMs: number | undefined

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string; cause?: unknown; retryAfterMs?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint
    this.retryAfterMs = options.retryAfterMs
  }

  get exitCode(): number {
    return errorCatalogue[this.code].exitCode
  }
}

export function isMusterError(error: unknown): error is MusterError {
  return error instanceof MusterError
}
