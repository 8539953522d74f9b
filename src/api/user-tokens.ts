/**
 * Client tokens that say whose they are. Whoever runs a coordinator makes one for each person or service; its user is what
 * shares and quotas count. A token is `mu_ID_SECRET`: the id is how people call it and where the log knows it by, the secret
 * is random and known to nobody but its user. The log holds a digest of the whole, which opens nothing.
 *
 * Names are checked by hand: every command reads this file, and the library of schemas takes longer to load than most
 * commands take.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

export const userNameMax = 256

/** Of everybody who has the coordinator's own client token, and so of nobody in particular. */
export const sharedUser = 'client'

export const expectedUserName = `a name of 1 to ${userNameMax} characters, none of them a control character, and without spaces at its ends`

/** Names that read as what they are: not empty, without control characters, and without spaces at their ends. */
export function isUserName(name: string): boolean {
  return name !== '' && name.length <= userNameMax && name.trim() === name && !/\p{Cc}/u.test(name)
}

/** Whom a token can be made for: not for everybody, and for nobody who would be taken for a token. */
export function isTokenUserName(name: string): boolean {
  return isUserName(name) && name !== sharedUser && !name.startsWith('mu_')
}

export const expectedTokenUserName = `${expectedUserName}, other than '${sharedUser}' and not beginning with 'mu_'`

const digestOf = (text: string) => createHash('sha256').update(text).digest('base64url')

export function newUserToken(): { readonly id: string; readonly text: string; readonly digest: string } {
  const id = `mu_${randomBytes(5).toString('hex')}`
  const text = `${id}_${randomBytes(24).toString('base64url')}`
  return { id, text, digest: digestOf(text) }
}

/** The id of a token, also where only the id is given; undefined: it is neither. */
export function userTokenId(text: string): string | undefined {
  return /^(mu_[0-9a-f]{10})(?:_[\w-]*)?$/.exec(text)?.[1]
}

/** Whether it is the very token with this digest. */
export function isUserToken(text: string, digest: string): boolean {
  const [given, right] = [Buffer.from(digestOf(text)), Buffer.from(digest)]
  return given.length === right.length && timingSafeEqual(given, right)
}
