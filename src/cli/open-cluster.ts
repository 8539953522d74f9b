/**
 * What `muster serve --cluster` needs besides its own directory: the shared log and blobs, the tokens
 * and the secret that all members share, and this member's name among them.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { newTokens, writeTokens } from '../api/tokens.ts'
import type { Blobs } from '../blobs/blobs.ts'
import { openBlobs } from '../blobs/location.ts'
import type { Contexts } from '../coordinator/contexts.ts'
import type { ClusterOptions } from '../coordinator/coordinator.ts'
import { peerPort } from '../coordinator/peers.ts'
import { SealedContexts } from '../coordinator/sealed-contexts.ts'
import { readableFormat } from '../core/format.ts'
import { openEtcdLog, type EtcdLog } from '../log/etcd/etcd-log.ts'
import { etcdCredentialsFromEnvironment, parseEtcdUrl, type EtcdCredentials } from '../log/etcd/url.ts'
import type { SharedLog } from '../log/log.ts'
import { MusterError } from '../protocol/errors.ts'
import { markBlobs } from './blobs-mark.ts'
import { buildId, packageVersion, privateDirectory } from './places.ts'

export type ClusterFlags = {
  /** `etcd://h1:2379,h2:2379/prefix`. */
  readonly cluster: string
  /** A directory that all members see, or `s3://…`. */
  readonly blobs: string
  /** What the others see; default: the host's name. */
  readonly name?: string
  readonly credentials: EtcdCredentials
  readonly budgetBytes?: number
}

export type Secrets = {
  readonly client: string
  readonly worker: string
  readonly peer: string
  readonly secret: string
}

export async function openSharedBlobs(location: string): Promise<Blobs> {
  const blobs = await openBlobs(location)
  const problem = await blobs.check?.()
  if (problem === undefined) return blobs
  throw new MusterError('config_invalid', `Cannot use the blobs at ${location}: ${problem}`, {
    hint: 'Every coordinator of the cluster must be able to read and write there.',
  })
}

/** The environments of runs: encrypted blobs, for whoever can read the secret in the log. */
export function sharedContexts(blobs: Blobs, { secret }: Secrets): Contexts {
  return new SealedContexts(blobs, [secret])
}

/** What every member, and a backup, opens alike. Nothing is claimed, announced or written. */
export async function openShared(
  flags: ClusterFlags,
  onWarning: (text: string) => void,
): Promise<{ readonly log: EtcdLog; readonly blobs: Blobs }> {
  const address = parseEtcdUrl(flags.cluster)
  const blobs = await openSharedBlobs(flags.blobs)
  const log = await openEtcdLog({
    address,
    credentials: { ...etcdCredentialsFromEnvironment(process.env), ...flags.credentials },
    blobs,
    ...(flags.budgetBytes === undefined ? {} : { budgetBytes: flags.budgetBytes }),
    onWarning,
  })
  return { log, blobs }
}

/** `address`: where the others and clients reach this coordinator. */
export async function openCluster(
  flags: ClusterFlags,
  directory: string,
  address: string,
  onWarning: (text: string) => void,
): Promise<ClusterOptions> {
  const { log, blobs } = await openShared(flags, onWarning)
  try {
    const secrets = await sharedSecrets(log)
    const { client, worker, peer } = secrets
    writeTokens(privateDirectory(directory), { client, worker, peer })
    return {
      log,
      blobs,
      blobsLocation: flags.blobs,
      blobsMark: await markBlobs(log, blobs, flags.blobs),
      contexts: sharedContexts(blobs, secrets),
      source: await log.record('name', () => randomUUID()),
      peers: peerPort(peer),
      peerToken: peer,
      card: {
        member: memberId(directory),
        name: flags.name ?? hostname(),
        address,
        version: packageVersion(),
        build: buildId(),
        format: readableFormat,
        draining: false,
        startedAtMs: Date.now(),
      },
    }
  } catch (error) {
    await log[Symbol.asyncDispose]()
    throw error
  }
}

export async function sharedSecrets(log: SharedLog): Promise<Secrets> {
  return JSON.parse(await log.record('secrets', () => JSON.stringify(newSecrets()))) as Secrets
}

/** Of a new cluster. */
export function newSecrets(): Secrets {
  return {
    ...newTokens(),
    peer: `mp_${randomBytes(24).toString('base64url')}`,
    secret: randomBytes(32).toString('base64'),
  }
}

/** The same after every restart from this directory, and different for every directory. */
function memberId(directory: string): string {
  const path = join(directory, 'member')
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    const member = `c-${randomBytes(5).toString('hex')}`
    writeFileSync(path, `${member}\n`, { mode: 0o600 })
    return member
  }
}

/** The others are told the port before anybody listens on it. */
export async function chosenPort(host: string, port: number): Promise<number> {
  if (port !== 0) return port
  const probe = net.createServer()
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject)
    probe.listen(0, host, resolve)
  })
  const { port: free } = probe.address() as net.AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  return free
}
