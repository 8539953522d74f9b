/**
 * Who gets in. Over the Unix socket: whoever can open it, which is this user. Over TCP, loopback
 * included: only with a token, addressed by a name we go by (so that a web page can't rebind its own
 * name to us), and never from a web page of another origin.
 */
import { isIP, type Socket } from 'node:net'
import { hostname, userInfo } from 'node:os'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { MusterError } from '../protocol/errors.ts'
import { tokenChecker, type Caller, type Role, type Tokens, type UserTokens } from './tokens.ts'
import { userTokenId } from './user-tokens.ts'

export type Access =
  | { readonly type: 'socket' }
  | { readonly type: 'tcp'; readonly tokens: Tokens; readonly hostNames: readonly string[] }

declare module 'fastify' {
  interface FastifyRequest {
    /** `socket`: this user on this host, who may do everything. */
    role: Role | 'socket'
    /** Whose runs count as whose. */
    caller: Pick<Caller, 'user' | 'onBehalf' | 'userToken'>
  }
  interface FastifyContextConfig {
    /** Which token opens the route; default: client. The socket opens all. */
    allow?: readonly Role[]
    socketOnly?: boolean
    /** Answers without a token, under any name: it tells nothing private. */
    public?: boolean
  }
}

/** What a connection has shown. As long as it shows the same, it need not be compared with the secrets again. */
type Admitted = {
  readonly host: string | undefined
  readonly authorization: string | undefined
  readonly caller: Caller
}

const clientOnly: readonly Role[] = ['client']

/** The users' tokens as this coordinator knows them now; it may have to read of them first. */
export type KnownUserTokens = UserTokens & { settled(): Promise<void> }

/** Nobody knows yet who these are: no more of them wait at a time for what the log says of their tokens. */
const unknownMax = 1000

const noUserTokens: KnownUserTokens = { find: () => undefined, settled: async () => undefined }

export function guard(app: FastifyInstance, access: Access, users: KnownUserTokens = noUserTokens): void {
  app.decorateRequest('role', 'socket')
  app.decorateRequest('caller')
  if (access.type === 'socket') {
    const caller = { user: osUser(), onBehalf: false }
    app.addHook('onRequest', (request, _reply, done) => {
      request.caller = caller
      done()
    })
    return
  }
  const check = tokenChecker(access.tokens, users)
  const names = new Set(['localhost', hostname().toLowerCase(), ...access.hostNames.map((name) => name.toLowerCase())])
  const admitted = new WeakMap<Socket, Admitted>()
  const isGood = ({ userToken }: Pick<Caller, 'userToken'>) =>
    userToken === undefined || users.find(userToken, Date.now()) !== undefined
  const callerOf = (request: FastifyRequest): Caller | undefined => {
    const { socket } = request.raw
    const { host, origin, authorization } = request.raw.headers
    const before = admitted.get(socket)
    const same = before && before.authorization === authorization && before.host === host && origin === undefined
    if (same && isGood(before.caller)) return before.caller
    checkAddress(request, names)
    const token = tokenOf(request)
    const caller = token === undefined ? undefined : check(token, Date.now())
    if (caller) admitted.set(socket, { host, authorization, caller })
    return caller
  }
  app.addHook('onRequest', (request, _reply, done) => {
    if (request.routeOptions.config.public) return done()
    try {
      const caller = callerOf(request)
      if (caller || userTokenId(tokenOf(request) ?? '') === undefined) {
        admit(request, caller)
        return done()
      }
    } catch (error) {
      return done(error as Error)
    }
    void readOn(request, done)
  })
  // A body may take as long as whoever sends it likes.
  app.addHook('preValidation', (request, _reply, done) => {
    if (request.body === undefined || request.routeOptions.config.public || isGood(request.caller)) done()
    else void readOn(request, done)
  })
  let unknown = 0
  /** The token may be in what this coordinator has not read of the log yet. */
  const readOn = async (request: FastifyRequest, done: (error?: Error) => void): Promise<void> => {
    if (unknown >= unknownMax)
      return done(
        new MusterError('overloaded', `${unknown} requests wait for the log to say whether their tokens are good`),
      )
    let failure: Error | undefined
    unknown += 1
    try {
      await users.settled()
      admit(request, callerOf(request))
    } catch (error) {
      failure = error as Error
    }
    unknown -= 1
    done(failure)
  }
}

function admit(request: FastifyRequest, caller: Caller | undefined): void {
  if (!caller) throw unauthorized(tokenOf(request))
  const { role } = caller
  const { allow, socketOnly } = request.routeOptions.config
  request.role = role
  request.caller = caller
  if (socketOnly) throw new MusterError('forbidden', 'this is only for the owner, over the Unix socket')
  if ((allow ?? clientOnly).includes(role)) return
  throw new MusterError('forbidden', `a ${role} token does not open ${request.url}`, {
    hint: "'muster token client' prints the one for clients, 'muster token worker' the one for workers.",
  })
}

function checkAddress(request: FastifyRequest, names: ReadonlySet<string>): void {
  const host = request.headers.host ?? ''
  const name = hostName(host)
  if (!names.has(name) && isIP(name) === 0) {
    throw new MusterError('forbidden', `this coordinator does not go by the name '${name}'`, {
      hint: `Start it with --allow-host ${name || 'NAME'} if that is right.`,
    })
  }
  const { origin } = request.headers
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
    throw new MusterError('forbidden', `requests from the web page ${origin} are not taken`)
  }
}

function hostName(host: string): string {
  const bare = host.startsWith('[') ? host.slice(1, host.indexOf(']')) : host.replace(/:\d+$/, '')
  return bare.toLowerCase()
}

/** Only this user can open the socket. */
function osUser(): string {
  try {
    return userInfo().username
  } catch {
    // Of a user that the system has no name for, as in some containers.
    return String(process.getuid?.() ?? 'unknown')
  }
}

function tokenOf({ headers }: FastifyRequest): string | undefined {
  return /^Bearer (\S+)$/i.exec(headers.authorization ?? '')?.[1]
}

function unauthorized(token: string | undefined): MusterError {
  return new MusterError(
    'unauthorized',
    token === undefined
      ? 'a token is needed: Authorization: Bearer TOKEN'
      : 'the token is wrong, was taken back, or its time is over',
    {
      hint: "On the coordinator's host 'muster token client' (or 'worker') prints it; pass it with --token or MUSTER_TOKEN.",
    },
  )
}
