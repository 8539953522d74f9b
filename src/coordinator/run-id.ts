/** Ids of runs. */
import { randomBytes } from 'node:crypto'

const idAlphabet = '0123456789abcdefghjkmnpqrstvwxyz'

/** Sorts by time to the second, readable aloud, unique beyond reasonable doubt: `r` + 7 characters of time + 8 random ones. */
export function newRunId(nowMs = Date.now()): string {
  let time = Math.floor(nowMs / 1000)
  let text = ''
  for (let at = 0; at < 7; at += 1) {
    text = idAlphabet[time % 32]! + text
    time = Math.floor(time / 32)
  }
  for (const byte of randomBytes(8)) text += idAlphabet[byte % 32]!
  return `r${text}`
}
