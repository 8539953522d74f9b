/**
 * Client tokens that say whose they are. Whoever runs a coordinator makes one for each person or service; its user is
 * what shares and quotas count, and nobody can change the name in it, since it is signed with a key that never leaves the
 * coordinators. Nothing is kept of a token, so any coordinator of a cluster knows all of them, and one ends by its date or
 * with the key.
 *
 * What a token says is checked by hand: every command reads this file, and the library of schemas takes longer to load
 * than most commands take.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { MusterError } from '../protocol/errors.ts'

export const userNameMax = 256

export type TokenContent = {
  readonly user: string
  /** May submit for other users, too. */
  readonly onBehalf?: boolean
  /** It is good until then, in milliseconds since the epoch; absent = for as long as the key. */
  readonly untilMs?: number
}

function isTokenContent(value: unknown): value is TokenContent {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const { user, onBehalf, untilMs } = value as Record<string, unknown>
  return (
    typeof user === 'string' &&
    user.length >= 1 &&
    user.length <= userNameMax &&
    (onBehalf === undefined || typeof onBehalf === 'boolean') &&
    (untilMs === undefined || Number.isInteger(untilMs))
  )
}

const prefix = 'mu_'
/** Of everybody who has the coordinator's own client token, and so of nobody in particular. */
export const sharedUser = 'client'

export const expectedUserName = `a name of 1 to ${userNameMax} characters, none of them a control character, and without spaces at its ends`

/** Names that read as what they are: not empty, without control characters, and without spaces at their ends. */
export function isUserName(name: string): boolean {
  return name !== '' && name.length <= userNameMax && name.trim() === name && !/\p{Cc}/u.test(name)
}

const signature = (key: string, text: string) => createHmac('sha256', key).update(text).digest()

export function makeUserToken(key: string, content: TokenContent): string {
  const { user } = content
  if (!isUserName(user) || user === sharedUser || !isTokenContent(content))
    throw new MusterError(
      'usage',
      `Cannot make a token for ${JSON.stringify(user)}: expected ${expectedUserName}, other than '${sharedUser}'`,
    )
  const text = Buffer.from(JSON.stringify(content)).toString('base64url')
  return `${prefix}${text}.${signature(key, text).toString('base64url')}`
}

/** What a token says that was signed with the key; undefined: it wasn't, or its time is over. */
export function readUserToken(key: string, token: string, nowMs: number): TokenContent | undefined {
  const [, text, sign] = /^mu_([\w-]+)\.([\w-]+)$/.exec(token) ?? []
  if (text === undefined || sign === undefined) return undefined
  const given = Buffer.from(sign, 'base64url')
  const right = signature(key, text)
  if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined
  const content: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  if (!isTokenContent(content)) return undefined
  return content.untilMs !== undefined && content.untilMs <= nowMs ? undefined : content
}
