/** What every blob store refuses, in the same words. */
import { MusterError } from '../protocol/errors.ts'

const keyPattern = /^[0-9a-f]{64}$/

export function isKey(text: string): boolean {
  return keyPattern.test(text)
}

/** Keys come from outside, and become part of a path. */
export function refuseWrongKey(key: string): void {
  if (isKey(key)) return
  throw new MusterError(
    'request_invalid',
    `Cannot use the blob key: expected 64 lower-case hex digits, received '${key.slice(0, 80)}'`,
  )
}

export function wrongContent(key: string, received: string): MusterError {
  return new MusterError(
    'request_invalid',
    `Cannot store blob ${key}: the content received has the SHA-256 ${received}`,
    { hint: 'Send the content whose hash the key is.' },
  )
}

export function tooLarge(maxBytes: number): MusterError {
  return new MusterError('request_invalid', `Cannot store a blob: expected at most ${maxBytes} bytes, received more`, {
    hint: 'Leave large files out of the workspace, or raise the limit.',
  })
}

export function damaged(key: string, actual: string, suspect: string): MusterError {
  return new MusterError(
    'unavailable',
    `Cannot read blob ${key}: its content no longer matches (SHA-256 ${actual}); it was dropped`,
    { hint: `Check ${suspect}; what made it can be run again.` },
  )
}
