import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMusterError } from '../../protocol/errors.ts'
import { etcdCredentialsFromEnvironment, parseEtcdUrl } from './url.ts'

test('parseEtcdUrl reads hosts, ports, TLS and prefix', () => {
  assert.deepEqual(parseEtcdUrl('etcd://h1:2379,h2:1/optional-prefix'), {
    endpoints: ['h1:2379', 'h2:1'],
    tls: false,
    prefix: '/optional-prefix/',
  })
  assert.deepEqual(parseEtcdUrl('etcds://db.example.org'), {
    endpoints: ['db.example.org:2379'],
    tls: true,
    prefix: '/muster/',
  })
  assert.deepEqual(parseEtcdUrl('etcd://[::1]:2379,10.0.0.1//a/b/'), {
    endpoints: ['[::1]:2379', '10.0.0.1:2379'],
    tls: false,
    prefix: '/a/b/',
  })
})

test('parseEtcdUrl says what is wrong', () => {
  const cases: [string, RegExp][] = [
    ['http://h1:2379', /expected it to start with 'etcd:\/\/' or 'etcds:\/\/'/],
    ['etcd://', /expected at least one host/],
    ['etcd://h1:2379,', /expected host:port, received ''/],
    ['etcd://h1:port', /expected host:port, received 'h1:port'/],
    ['etcd://h1:70000', /expected a port from 1 to 65535, received '70000'/],
    ['etcd://h1,h1:2379', /h1:2379 is there twice/],
    ['etcd://h1/p?timeout=3', /expected nothing after the prefix, received '\?timeout=3'/],
  ]
  for (const [url, message] of cases) {
    assert.throws(
      () => parseEtcdUrl(url),
      (error) => isMusterError(error) && error.code === 'config_invalid' && message.test(error.message),
      url,
    )
  }
})

test('parseEtcdUrl does not repeat a password', () => {
  assert.throws(
    () => parseEtcdUrl('etcd://root:hunter2@h1:2379'),
    (error) => isMusterError(error) && /MUSTER_ETCD_PASSWORD/.test(error.hint ?? '') && !/hunter2/.test(String(error)),
  )
})

test('etcdCredentialsFromEnvironment takes what is set', () => {
  assert.deepEqual(etcdCredentialsFromEnvironment({}), {})
  assert.deepEqual(
    etcdCredentialsFromEnvironment({
      MUSTER_ETCD_USER: 'muster',
      MUSTER_ETCD_PASSWORD: 'p',
      MUSTER_ETCD_CA: '/ca.pem',
      MUSTER_ETCD_CERT: '',
      HOME: '/x',
    }),
    { user: 'muster', password: 'p', ca: '/ca.pem' },
  )
})
