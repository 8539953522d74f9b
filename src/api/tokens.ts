/**
 * The secrets of a coordinator: one lets clients submit (and so run code), one lets workers join, and in a
 * cluster one lets the other coordinators in. Made at first start, kept in a file only this user
 * can read (a cluster's: in its log, with a copy here), compared in constant time. Those of single users are in the log.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MusterError } from '../protocol/errors.ts'
import { isUserToken, sharedUser, userTokenId } from './user-tokens.ts'

export type Tokens = {
  readonly client: string
  readonly worker: string
  readonly peer?: string
}
export type Role = keyof Tokens

/** Who a token says it is. */
export type Caller = {
  readonly role: Role
  readonly user: string
  /** May submit for other users, too. */
  readonly onBehalf: boolean
  /** Of a token of one user: its id. */
  readonly userToken?: string
}

/** What a coordinator knows of the tokens of single users. */
export type UserTokens = {
  /** Undefined: there is none, or it is no longer good. */
  find(
    id: string,
    nowMs: number,
  ): { readonly digest: string; readonly user: string; readonly onBehalf?: true } | undefined
}

const file = 'tokens.json'

export function readTokens(directory: string): Tokens | undefined {
  const path = join(directory, file)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new MusterError('config_invalid', `Cannot read the tokens in ${path}: ${(error as Error).message}`, {
      cause: error,
    })
  }
  try {
    const value = JSON.parse(text) as Partial<Tokens>
    if (typeof value.client === 'string' && typeof value.worker === 'string')
      return {
        client: value.client,
        worker: value.worker,
        ...(typeof value.peer === 'string' ? { peer: value.peer } : {}),
      }
  } catch {
    // Falls through to the one error that names the file.
  }
  throw new MusterError('config_invalid', `Cannot read the tokens in ${path}: expected {"client": …, "worker": …}`, {
    hint: 'Delete the file; new tokens are made at the next start, and workers must then join with the new one.',
  })
}

export function ensureTokens(directory: string): Tokens {
  const known = readTokens(directory)
  if (known) return known
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const made = newTokens()
  // Whole or not at all, and only once: the name is given to a file that is complete.
  const path = join(directory, file)
  const draft = `${path}.${process.pid}`
  writeFileSync(draft, `${JSON.stringify(made, null, 2)}\n`, { mode: 0o600 })
  try {
    linkSync(draft, path)
    return made
  } catch (error) {
    // Somebody else made them in the same moment.
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return readTokens(directory)!
    throw error
  } finally {
    unlinkSync(draft)
  }
}

export function newTokens(): Tokens {
  return {
    client: `mc_${randomBytes(24).toString('base64url')}`,
    worker: `mw_${randomBytes(24).toString('base64url')}`,
  }
}

/** A cluster's, as its members share them: this host's own commands find them like a single coordinator's. */
export function writeTokens(directory: string, tokens: Tokens): void {
  const path = join(directory, file)
  const draft = `${path}.${process.pid}`
  writeFileSync(draft, `${JSON.stringify(tokens, null, 2)}\n`, { mode: 0o600 })
  renameSync(draft, path)
}

/** As a backup holds them: those that people and workers have; a cluster makes new ones for itself. */
export function tokensRecord(
  tokens: Tokens | undefined,
): readonly { readonly name: string; readonly bytes: Uint8Array }[] {
  if (tokens === undefined) return []
  const { client, worker } = tokens
  return [{ name: 'tokens', bytes: Buffer.from(JSON.stringify({ client, worker })) }]
}

const digest = (text: string) => createHash('sha256').update(text).digest()

/** Who a token says it is. Compares digests, so that neither content nor length shows in the time. */
export function tokenChecker(tokens: Tokens, users: UserTokens): (token: string, nowMs: number) => Caller | undefined {
  const client = digest(tokens.client)
  const worker = digest(tokens.worker)
  const peer = tokens.peer === undefined ? undefined : digest(tokens.peer)
  const own = (role: Role): Caller => ({ role, user: sharedUser, onBehalf: false })
  return (token, nowMs) => {
    const given = digest(token)
    const isClient = timingSafeEqual(given, client)
    const isWorker = timingSafeEqual(given, worker)
    const isPeer = peer !== undefined && timingSafeEqual(given, peer)
    if (isClient) return own('client')
    if (isWorker) return own('worker')
    if (isPeer) return own('peer')
    const id = userTokenId(token)
    const found = id === undefined ? undefined : users.find(id, nowMs)
    if (id === undefined || !found || !isUserToken(token, found.digest)) return undefined
    return { role: 'client', user: found.user, onBehalf: found.onBehalf === true, userToken: id }
  }
}
