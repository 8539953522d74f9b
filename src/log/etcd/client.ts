/**
 * Calls to an etcd cluster over gRPC. A lane is one use (appends, reads, the watch, the lease) with
 * connections of its own, so that a large read doesn't hold up an append, and with an endpoint that it
 * stays with until a call fails there or takes too long; then it goes to the next. A gray endpoint (up,
 * and silent) shows in nothing else: etcd drops clients that ping often.
 *
 * Time limits are timers of our own and not gRPC deadlines, which are points of the wall clock and
 * move when that is set.
 */
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { checkServerIdentity } from 'node:tls'
import type { PeerCertificate } from 'node:tls'
import { Client, credentials, Metadata } from '@grpc/grpc-js'
import type { ClientDuplexStream } from '@grpc/grpc-js'
import { MusterError } from '../../protocol/errors.ts'
import { CallError, code, isRefused } from './call-error.ts'
import { authenticate } from './messages.ts'
import type { Method } from './messages.ts'
import type { EtcdAddress, EtcdCredentials } from './url.ts'

const channelOptions = {
  // The defaults wait a second and more before a member that is back is noticed.
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.min_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 250,
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  'grpc.use_local_subchannel_pool': 1,
  // Whether a write may be repeated is for the log to say.
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  // Half an hour without a claim must not make the takeover wait for a connection. The largest timer.
  'grpc.client_idle_timeout_ms': 2 ** 31 - 1,
}
const backoffMs = 15
const loginMs = 2000

export type Patience = {
  /** For the first try; each further one gets twice as long. */
  readonly tryMs: number
  /** When to give up; the last try may end later. */
  readonly totalMs: number
}

export class EtcdClient {
  readonly endpoints: readonly string[]
  /** Undefined: without TLS. */
  readonly #certificates: Certificates | undefined
  readonly #login: { readonly user: string; readonly password: string } | undefined
  readonly #lanes = new Set<Lane>()
  #token: Promise<string | undefined> | undefined
  #closed = false

  private constructor(endpoints: readonly string[], certificates?: Certificates, user?: string, password?: string) {
    this.endpoints = endpoints
    this.#certificates = certificates
    this.#login = user === undefined ? undefined : { user, password: password ?? '' }
  }

  static async create(address: EtcdAddress, given: EtcdCredentials): Promise<EtcdClient> {
    if (!address.tls && (given.ca ?? given.cert ?? given.key) !== undefined) {
      throw new MusterError('config_invalid', 'Certificates were given for an etcd address without TLS', {
        hint: 'Write the address as etcds://…',
      })
    }
    const certificates = address.tls ? await readCertificates(given) : undefined
    return new EtcdClient(address.endpoints, certificates, given.user, given.password)
  }

  get closed(): boolean {
    return this.#closed
  }

  lane(): Lane {
    const lane = new Lane(this)
    this.#lanes.add(lane)
    return lane
  }

  forget(lane: Lane): void {
    this.#lanes.delete(lane)
  }

  connect(endpoint: string): Client {
    if (this.#certificates === undefined) return new Client(endpoint, credentials.createInsecure(), channelOptions)
    const { ca, cert, key } = this.#certificates
    const host = endpoint.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
    if (isIP(host) === 0) return new Client(endpoint, credentials.createSsl(ca, key, cert), channelOptions)
    // grpc-js gives Node the host as the name to ask for, and Node refuses an address there. So it asks for
    // a name that nobody has, and the certificate is checked against the address all the same.
    const verify = { checkServerIdentity: (_name: string, peer: PeerCertificate) => checkServerIdentity(host, peer) }
    const options = { ...channelOptions, 'grpc.ssl_target_name_override': 'address.invalid' }
    return new Client(endpoint, credentials.createSsl(ca, key, cert, verify), options)
  }

  close(): void {
    this.#closed = true
    for (const lane of this.#lanes) lane.close()
  }

  /** What every call carries. The token is fetched once, and again after `forgetToken`. */
  async metadata(lane: Lane): Promise<Metadata> {
    const metadata = new Metadata()
    if (this.#login === undefined) return metadata
    this.#token ??= this.#fetchToken(lane, this.#login)
    const token = await this.#token.catch((error: unknown) => {
      this.#token = undefined
      throw error
    })
    if (token !== undefined) metadata.set('token', token)
    return metadata
  }

  forgetToken(): void {
    this.#token = undefined
  }

  async #fetchToken(lane: Lane, login: { user: string; password: string }): Promise<string | undefined> {
    try {
      return await lane.call(authenticate, login, loginMs, new Metadata())
    } catch (error) {
      // An etcd that asks nobody who they are: the user and password are simply not needed.
      if (error instanceof CallError && error.message.includes('authentication is not enabled')) return undefined
      // Nothing was written, whatever became of the login.
      if (!(error instanceof CallError) || error.outcome !== 'unknown') throw error
      throw new CallError(error.endpoint, error.code, `no login: ${error.message}`, 'unsent')
    }
  }
}

export class Lane {
  readonly #client: EtcdClient
  readonly #connections = new Map<string, Client>()
  #current = 0

  constructor(client: EtcdClient) {
    this.#client = client
  }

  get endpoint(): string {
    return this.#client.endpoints[this.#current]!
  }

  /** To the next endpoint, unless somebody has already gone on from the failed one. */
  leave(failed: string): void {
    if (this.endpoint === failed) this.#current = (this.#current + 1) % this.#client.endpoints.length
  }

  /** One request at the current endpoint, or at `at`. Rejects with a CallError. An expired login is renewed: etcd has then done nothing. */
  async call<Q, R>(method: Method<Q, R>, request: Q, timeoutMs: number, given?: Metadata, at?: string): Promise<R> {
    const metadata = given ?? (await this.#client.metadata(this))
    const endpoint = at ?? this.endpoint
    try {
      return await this.#send(method, request, timeoutMs, endpoint, metadata)
    } catch (error) {
      if (!(error instanceof CallError)) throw error
      if (error.outcome === 'token' && given === undefined) {
        this.#client.forgetToken()
        return this.call(method, request, timeoutMs, await this.#client.metadata(this), at)
      }
      if (error.outcome !== 'refused' && at === undefined) this.leave(endpoint)
      throw error
    }
  }

  /** Repeats a request that may be carried out several times, at one endpoint after the other. */
  async repeat<Q, R>(method: Method<Q, R>, request: Q, patience: Patience): Promise<R> {
    const end = performance.now() + patience.totalMs
    for (let tryMs = patience.tryMs; ; tryMs = Math.min(2 * tryMs, patience.totalMs)) {
      try {
        return await this.call(method, request, tryMs)
      } catch (error) {
        if (isRefused(error) || this.#client.closed || performance.now() >= end) throw error
        await delay(backoffMs)
      }
    }
  }

  /** A stream in both directions, at the current endpoint, that ends when that endpoint loses its leader. */
  async stream<Q, R>(method: Method<Q, R>): Promise<{ call: ClientDuplexStream<Q, R>; endpoint: string }> {
    const metadata = await this.#client.metadata(this)
    metadata.set('hasleader', 'true')
    const endpoint = this.endpoint
    const call = this.#connection(endpoint).makeBidiStreamRequest(method.path, method.encode, method.decode, metadata)
    return { call, endpoint }
  }

  close(): void {
    this.#client.forget(this)
    for (const connection of this.#connections.values()) connection.close()
    this.#connections.clear()
  }

  #send<Q, R>(method: Method<Q, R>, request: Q, timeoutMs: number, at: string, metadata: Metadata): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      let expired = false
      const call = this.#connection(at).makeUnaryRequest(
        method.path,
        method.encode,
        method.decode,
        request,
        metadata,
        {},
        (error, response) => {
          clearTimeout(timer)
          if (expired) reject(new CallError(at, code.deadlineExceeded, `no answer within ${timeoutMs} ms`))
          else if (error !== null) reject(new CallError(at, error.code, error.details))
          else resolve(response!)
        },
      )
      const timer = setTimeout(() => {
        expired = true
        call.cancel()
      }, timeoutMs)
    })
  }

  #connection(endpoint: string): Client {
    if (this.#client.closed) throw new MusterError('log_failed', 'The log is closed')
    let connection = this.#connections.get(endpoint)
    if (connection === undefined) {
      connection = this.#client.connect(endpoint)
      this.#connections.set(endpoint, connection)
    }
    return connection
  }
}

type Certificates = { readonly ca: Buffer | null; readonly cert: Buffer | null; readonly key: Buffer | null }

async function readCertificates(given: EtcdCredentials): Promise<Certificates> {
  if ((given.cert === undefined) !== (given.key === undefined)) {
    throw new MusterError('config_invalid', 'A client certificate for etcd needs both its certificate and its key', {
      hint: 'Give MUSTER_ETCD_CERT and MUSTER_ETCD_KEY.',
    })
  }
  const [ca = null, cert = null, key = null] = await Promise.all([given.ca, given.cert, given.key].map(readPem))
  try {
    credentials.createSsl(ca, key, cert)
  } catch (error) {
    throw new MusterError('config_invalid', `Cannot use the certificates for etcd: ${String(error)}`, { cause: error })
  }
  return { ca, cert, key }
}

async function readPem(path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined
  try {
    return await readFile(path)
  } catch (error) {
    throw new MusterError('config_invalid', `Cannot read ${path}, given for etcd: ${String(error)}`, { cause: error })
  }
}
