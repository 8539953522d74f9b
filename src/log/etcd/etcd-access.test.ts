import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { isMusterError } from '../../protocol/errors.ts'
import { EtcdCluster } from '../fixtures/etcd-cluster.ts'
import { MemoryBlobs } from '../fixtures/etcd-medium.ts'
import { Follower, until } from '../shared-conformance.ts'
import { openEtcdLog } from './etcd-log.ts'
import type { EtcdLog } from './etcd-log.ts'
import { parseEtcdUrl } from './url.ts'
import type { EtcdCredentials } from './url.ts'

const run = promisify(execFile)
const text = (value: string) => new TextEncoder().encode(value)
const base64 = (value: string) => Buffer.from(value).toString('base64')

async function api(endpoint: string, path: string, body: object): Promise<void> {
  const answer = await fetch(`http://${endpoint}/v3/${path}`, { method: 'POST', body: JSON.stringify(body) })
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`)
}

/** Users `root`, and `muster` who may do anything below /muster/ and nothing elsewhere. */
async function enableUsers(endpoint: string): Promise<void> {
  await api(endpoint, 'auth/user/add', { name: 'root', password: 'r' })
  await api(endpoint, 'auth/user/grant', { user: 'root', role: 'root' })
  await api(endpoint, 'auth/role/add', { name: 'muster' })
  const perm = { permType: 'READWRITE', key: base64('/muster/'), range_end: base64('/muster0') }
  await api(endpoint, 'auth/role/grant', { name: 'muster', perm })
  await api(endpoint, 'auth/user/add', { name: 'muster', password: 'secret' })
  await api(endpoint, 'auth/user/grant', { user: 'muster', role: 'muster' })
  await api(endpoint, 'auth/enable', {})
}

/** An authority, and a certificate that serves as etcd's and as the client's. */
async function makeCertificates(
  directory: string,
  address = '127.0.0.1',
): Promise<{ ca: string; cert: string; key: string }> {
  const file = (name: string): string => join(directory, name)
  const openssl = (...args: string[]) => run('openssl', args)
  await writeFile(file('san'), `subjectAltName=IP:${address},DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n`)
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  await openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca'),
    '-subj',
    '/CN=test',
    '-days',
    '2',
  )
  await openssl('req', ...newKey, '-keyout', file('key'), '-out', file('csr'), '-subj', '/CN=muster')
  const signing = [
    '-CA',
    file('ca'),
    '-CAkey',
    file('ca.key'),
    '-CAcreateserial',
    '-extfile',
    file('san'),
    '-days',
    '2',
  ]
  await openssl('x509', '-req', '-in', file('csr'), '-out', file('cert'), ...signing)
  return { ca: file('ca'), cert: file('cert'), key: file('key') }
}

function open(url: string, credentials: EtcdCredentials = {}, warnings: string[] = []): Promise<EtcdLog> {
  return openEtcdLog({
    address: parseEtcdUrl(url),
    credentials,
    blobs: new MemoryBlobs(),
    appendTimeoutMs: 5000,
    readTimeoutMs: 1000,
    onWarning: (warning) => void warnings.push(warning),
  })
}

/** Everything that a coordinator does with its log. */
async function useAll(log: EtcdLog): Promise<void> {
  const { epoch, position } = await log.claim('a')
  const follower = new Follower(log)
  for (let next = position + 1; next <= position + 5; next += 1) {
    assert.deepEqual(await log.append(epoch, next, text(`entry ${next}`)), { type: 'ok' })
  }
  await until(() => follower.next === position + 6)
  await follower.stop()
  await log.announce({
    member: 'a',
    name: 'a',
    address: 'http://127.0.0.1:1',
    version: '0',
    build: '0',
    format: 2,
    draining: false,
    startedAtMs: 1,
  })
  assert.equal((await log.members()).length, 1)
  assert.equal(await log.record('r', () => 'v'), 'v')
  await log.putSnapshot(epoch, { position: position + 5, bytes: text('state') })
  await log.trim(position + 6)
  assert.deepEqual(await log.head(), { position: position + 5, epoch, firstPosition: position + 6 })
  const { members, problems } = await log.engine()
  assert.deepEqual(problems, [])
  assert.equal(members[0]?.healthy, true)
}

describe('EtcdLog and users', () => {
  test('a user with a role for the prefix can do everything; a login is renewed when etcd has forgotten it', async () => {
    await using cluster = await EtcdCluster.start({ members: 1 })
    const [member] = cluster.members
    await enableUsers(member!.endpoint)
    const warnings: string[] = []
    await using log = await open(cluster.url(), { user: 'muster', password: 'secret' }, warnings)
    await useAll(log)
    // Simple tokens are kept in memory.
    await member!.restart()
    await until(async () => {
      const head = await log.head().catch((error: unknown) => {
        if (!isMusterError(error)) throw error
        return undefined
      })
      return head !== undefined
    })
    await useAll(log)
    assert.deepEqual(warnings, [])
  })

  test('a wrong password, no user, and a prefix without permission are told apart', async () => {
    await using cluster = await EtcdCluster.start({ members: 1 })
    await enableUsers(cluster.endpoints[0]!)
    const refused = (hint: RegExp) => (error: unknown) =>
      isMusterError(error) &&
      error.code === 'log_failed' &&
      hint.test(error.hint ?? '') &&
      !/secret/.test(String(error))
    await assert.rejects(open(cluster.url(), { user: 'muster', password: 'wrong' }), refused(/MUSTER_ETCD_PASSWORD/))
    await assert.rejects(open(cluster.url()), refused(/MUSTER_ETCD_USER/))
    await assert.rejects(open(cluster.url('/other'), { user: 'muster', password: 'secret' }), refused(/role/))
  })

  test('a user that etcd does not ask for does no harm', async () => {
    await using cluster = await EtcdCluster.start({ members: 1 })
    await using log = await open(cluster.url(), { user: 'muster', password: 'secret' })
    await useAll(log)
  })
})

describe('EtcdLog and TLS', () => {
  test('certificates of the right authority connect; others do not', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'muster-tls-'))
    try {
      const tls = await makeCertificates(directory)
      await using cluster = await EtcdCluster.start({ members: 1, tls })
      {
        await using log = await open(cluster.url(), tls)
        await useAll(log)
      }
      {
        await using log = await open(cluster.url('/other').replace('127.0.0.1', 'localhost'), tls)
        await useAll(log)
      }
      const unreachable = (error: unknown) => isMusterError(error) && error.code === 'log_failed'
      await assert.rejects(open(cluster.url(), { ca: tls.ca }), unreachable, 'no certificate of its own')
      const elsewhere = await makeCertificates(await mkdtemp(join(directory, 'x')), '127.9.9.9')
      {
        await using other = await EtcdCluster.start({ members: 1, tls: elsewhere })
        await assert.rejects(open(other.url(), elsewhere), unreachable, 'a certificate for another address')
      }
      const distrusted = (error: unknown) => isMusterError(error) && /MUSTER_ETCD_CA/.test(error.hint ?? '')
      await assert.rejects(open(cluster.url(), {}), distrusted, 'an authority that the system does not know')
      const invalid = (error: unknown) => isMusterError(error) && error.code === 'config_invalid'
      await assert.rejects(open(cluster.url(), { ca: join(directory, 'none') }), invalid)
      await assert.rejects(open(cluster.url(), { ca: tls.ca, cert: tls.cert }), invalid)
      await assert.rejects(open(`etcd://${cluster.endpoints[0]}`, tls), invalid)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})

test('an etcd that is not there is named, with what to check', async () => {
  // A port that is given to nobody who asks for any.
  await assert.rejects(
    open('etcd://127.0.0.1:1'),
    (error) => isMusterError(error) && error.message.includes('127.0.0.1:1') && /running/.test(error.hint ?? ''),
  )
})
