/**
 * What can go wrong with a call to etcd, told apart by the one question that matters to a log: do we
 * know that nothing was written? gRPC's codes don't say so by themselves (UNAVAILABLE may come after
 * the commit), so a failure counts as unknown unless it is on the short list of known ones.
 */
import { MusterError } from '../../protocol/errors.ts'

/** gRPC status codes, by the names that etcd's documentation uses. */
export const code = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  unavailable: 14,
  unauthenticated: 16,
} as const

export class CallError extends Error {
  override readonly name = 'CallError'
  readonly code: number
  readonly endpoint: string
  /**
   * refused: etcd has answered that it will not, and repeating is of no use (of one that is out of
   * space the last write may be there all the same: it counts once when the write is repeated later,
   * see `writer.ts`); unsent: the request never left; token: the login has expired; unknown: it may or
   * may not have been carried out.
   */
  readonly outcome: 'refused' | 'unsent' | 'token' | 'unknown'

  constructor(endpoint: string, grpcCode: number, details: string, outcome = outcomeOf(grpcCode, details)) {
    super(plainWords(details))
    this.code = grpcCode
    this.endpoint = endpoint
    this.outcome = outcome
  }
}

const definite = new Set<number>([
  code.invalidArgument,
  code.permissionDenied,
  code.failedPrecondition,
  code.outOfRange,
  code.unauthenticated,
])

function outcomeOf(grpcCode: number, details: string): CallError['outcome'] {
  if (grpcCode === code.unavailable && details.startsWith('No connection established')) return 'unsent'
  if (/invalid auth token|auth store is old/.test(details)) return 'token'
  if (grpcCode === code.resourceExhausted && details.includes('space exceeded')) return 'refused'
  return definite.has(grpcCode) ? 'refused' : 'unknown'
}

/** Without what only the gRPC library's own authors can use. */
function plainWords(details: string): string {
  return details
    .replace(/^No connection established\. Last error: (?:Error: )?/, '')
    .replace(/(?: \(\d{4}-[^)]*Z\))?\. Resolution note: *$/, '')
    .replace(/^Protocol error$/, 'it does not speak gRPC, so it is no etcd')
    .replace(/^etcdserver: no leader$/, 'etcd has no leader; is a majority of its members there?')
}

export function isRefused(error: unknown): boolean {
  return error instanceof CallError && error.outcome === 'refused'
}

/** As the rest of Muster knows it. `action` completes "Cannot …". */
export function asMusterError(error: unknown, action: string): unknown {
  if (!(error instanceof CallError)) return error
  const text = `Cannot ${action}: etcd at ${error.endpoint} says: ${error.message}`
  if (error.code === code.resourceExhausted && error.outcome === 'refused') {
    return new MusterError('disk_full', text, {
      hint:
        'etcd takes no more writes until its space alarm is cleared: raise --quota-backend-bytes or run ' +
        "'etcdctl compact' and 'etcdctl defrag', then 'etcdctl alarm disarm'.",
      cause: error,
    })
  }
  if (error.code === code.permissionDenied) {
    return new MusterError('log_failed', text, {
      hint: 'Give the etcd user a role with read and write permission for the whole prefix.',
      cause: error,
    })
  }
  if (error.code === code.unauthenticated || /authentication failed|user name is empty/.test(error.message)) {
    return new MusterError('log_failed', text, {
      hint: 'Give user and password in MUSTER_ETCD_USER and MUSTER_ETCD_PASSWORD.',
      cause: error,
    })
  }
  return new MusterError('log_failed', error.outcome === 'unknown' ? `${text}; its outcome is unknown` : text, {
    cause: error,
  })
}
