/** `muster token`: print, make, list and take back what lets others in to a coordinator on this host. */
import { resolve } from 'node:path'
import { ensureTokens } from '../../api/tokens.ts'
import { Client } from '../../client/client.ts'
import { isMusterError, MusterError } from '../../protocol/errors.ts'
import type {
  MadeUserToken,
  MakeUserTokenBody,
  RevokeUserTokensBody,
  UserTokensView,
  UserTokenView,
} from '../../protocol/user-tokens.ts'
import { clientName } from '../connect.ts'
import { NodeTransport } from '../node-transport.ts'
import { serverDirectory, socketPath } from '../places.ts'
import { ago, table } from '../table.ts'

const dayMs = 86_400_000
const daysMax = 36_500

type Place = { readonly data?: string; readonly json?: boolean }

export function printTokenCommand(role: 'client' | 'worker', options: Place): number {
  process.stdout.write(`${ensureTokens(directoryOf(options))[role]}\n`)
  return 0
}

export async function makeUserTokenCommand(
  user: string,
  options: Place & { readonly onBehalf?: boolean; readonly days?: string },
): Promise<number> {
  const days = options.days === undefined ? undefined : Number(options.days)
  if (days !== undefined && !(days > 0 && days <= daysMax))
    throw new MusterError('usage', `--days: expected a number above 0, up to ${daysMax}, received '${options.days}'`)
  const body: MakeUserTokenBody = {
    user,
    ...(options.onBehalf ? { onBehalf: true } : {}),
    ...(days === undefined ? {} : { untilMs: Math.round(Date.now() + days * dayMs) }),
  }
  const made = await ask(options, (client) => client.post<MadeUserToken>('/tokens', body))
  process.stdout.write(options.json ? `${JSON.stringify(made, null, 2)}\n` : `${made.secret}\n`)
  return 0
}

export async function listTokensCommand(options: Place): Promise<number> {
  const view = await ask(options, (client) => client.get<UserTokensView>('/tokens'))
  const words = view.tokens.length === 0 ? 'no user has a token\n' : tokensText(view.tokens)
  process.stdout.write(options.json ? `${JSON.stringify(view, null, 2)}\n` : words)
  return 0
}

export async function revokeTokensCommand(tokens: readonly string[], options: Place): Promise<number> {
  const body: RevokeUserTokensBody = { tokens: [...tokens] }
  const view = await ask(options, (client) => client.post<UserTokensView>('/tokens/revoke', body))
  const words = view.tokens.map(({ token, user }) => `${token} of ${user} is no longer good\n`).join('')
  process.stdout.write(options.json ? `${JSON.stringify(view, null, 2)}\n` : words)
  return 0
}

export function tokensText(tokens: readonly UserTokenView[], nowMs = Date.now()): string {
  return table(
    ['TOKEN', 'USER', 'ON BEHALF', 'MADE', 'BY', 'ENDS'],
    tokens.map(({ token, user, onBehalf, madeAtMs, madeBy, untilMs }) => [
      token,
      user,
      onBehalf ? 'yes' : 'no',
      ago(madeAtMs, nowMs),
      madeBy.replace(/^client:/, ''),
      untilMs === null ? 'never' : new Date(untilMs).toISOString().slice(0, 10),
    ]),
  )
}

const directoryOf = ({ data }: Place) => resolve(data ?? serverDirectory())

/** Only over the socket: whoever can open it may do everything there anyway. */
async function ask<T>(options: Place, what: (client: Client) => Promise<T>): Promise<T> {
  const directory = directoryOf(options)
  const transport = new NodeTransport(`unix:${socketPath(directory)}`)
  try {
    return await what(new Client(transport, clientName()))
  } catch (error) {
    if (!isMusterError(error) || error.code !== 'coordinator_unreachable') throw error
    throw new MusterError('coordinator_unreachable', `No coordinator with its data in ${directory} runs here`, {
      hint: 'It knows the tokens of users, so start it first (muster serve), or say with --data where its data is.',
      cause: error,
    })
  } finally {
    transport.close()
  }
}
