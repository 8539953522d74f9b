/** What several routes read from a request alike. */
import type { FastifyRequest } from 'fastify'
import { MusterError } from '../protocol/errors.ts'
import { expectedUserName, isUserName } from './user-tokens.ts'

export type RunParams = { readonly run: string }

/** `reference`: what the worker's assignment says, for a coordinator that has not read of the run yet. */
export type ContextRequest = { Params: RunParams; Querystring: { readonly reference?: string } }

export function checkFiles(files: readonly string[]): void {
  for (const file of files) {
    if (file.startsWith('/') || file.split('/').includes('..') || file.includes('\0')) {
      throw new MusterError(
        'request_invalid',
        `Cannot take the task '${file}': expected a path inside the suite's directory`,
      )
    }
  }
}

export function checkFileBytes({
  files,
  fileBytes,
}: {
  files: readonly string[]
  fileBytes?: readonly unknown[]
}): void {
  if (fileBytes === undefined || fileBytes.length === files.length) return
  throw new MusterError(
    'request_invalid',
    `fileBytes: expected one size for each of ${files.length} files, received ${fileBytes.length}`,
  )
}

/** `If-Match: "7"` → 7. */
export function versionOf(request: FastifyRequest): number | undefined {
  const header = request.headers['if-match']
  if (header === undefined || header === '*') return undefined
  const match = /^(?:W\/)?"(\d+)"$/.exec(header)
  if (!match) throw new MusterError('request_invalid', `If-Match: expected "VERSION", received ${header}`)
  return Number(match[1])
}

/**
 * Whose shares and quotas something counts against. `asked`: for whom it is to be done; the caller's own word, which
 * only a token that may submit for others makes good.
 */
export function userOf({ caller, role }: FastifyRequest, asked?: string, what = 'submit'): string {
  if (asked === undefined || asked === caller.user) return caller.user
  if (caller.onBehalf) {
    if (isUserName(asked)) return asked
    throw new MusterError(
      'request_invalid',
      `Cannot ${what} for user ${JSON.stringify(asked)}: expected ${expectedUserName}`,
    )
  }
  const means = role === 'socket' ? "this host's user" : 'this token is of'
  throw new MusterError('forbidden', `Cannot ${what} for user '${asked}': ${means} '${caller.user}'`, {
    hint: "Leave 'user' out, or use a token that may: 'muster token user NAME --on-behalf' on the coordinator's host prints one.",
  })
}

/** Whoever repeats somebody's work does so on their own account, unless they may on the other's. */
export function repeaterOf({ caller }: FastifyRequest, first: string | undefined): string {
  return caller.onBehalf ? (first ?? caller.user) : caller.user
}

/** Clients say who they are; it is a name for people, not a proof. */
export function whoOf(request: FastifyRequest): string {
  const name = request.headers['muster-client']
  return `client:${typeof name === 'string' && name.length <= 200 ? name : request.role}`
}
