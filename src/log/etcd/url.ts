/**
 * The address of an etcd as a user writes it: `etcd://host:2379,host:2379/prefix`, or `etcds://` for
 * TLS. User, password and certificates are not part of it, because addresses end up in logs and
 * process lists; they come as options or from MUSTER_ETCD_USER and its kin.
 */
import { MusterError } from '../../protocol/errors.ts'

export type EtcdAddress = {
  /** `host:port` each. */
  readonly endpoints: readonly string[]
  readonly tls: boolean
  /** Starts and ends with a slash. */
  readonly prefix: string
}

export type EtcdCredentials = {
  readonly user?: string
  readonly password?: string
  /** Paths of PEM files: the authority that signed etcd's certificate, and this client's own certificate and key. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

const defaultPort = 2379
const defaultPrefix = '/muster/'
const example = 'etcd://db1:2379,db2:2379,db3:2379/muster'

function invalid(url: string, why: string): MusterError {
  return new MusterError('config_invalid', `Cannot use the etcd address '${url}': ${why}`, {
    hint: `Write it as ${example}; etcds:// for TLS.`,
  })
}

export function parseEtcdUrl(url: string): EtcdAddress {
  const match = /^(etcds?):\/\/([^/?#]*)([^?#]*)(.*)$/.exec(url)
  if (match === null) throw invalid(url, "expected it to start with 'etcd://' or 'etcds://'")
  const [, scheme, hosts = '', path = '', rest = ''] = match
  if (hosts.includes('@')) {
    // Not repeated: it holds a password.
    throw new MusterError('config_invalid', 'Cannot use an etcd address with a user or password in it', {
      hint: 'Give them in MUSTER_ETCD_USER and MUSTER_ETCD_PASSWORD.',
    })
  }
  if (rest !== '') throw invalid(url, `expected nothing after the prefix, received '${rest}'`)
  if (hosts === '') throw invalid(url, 'expected at least one host')
  const endpoints = hosts.split(',').map((host) => parseEndpoint(url, host))
  const twice = endpoints.find((one, index) => endpoints.indexOf(one) !== index)
  if (twice !== undefined) throw invalid(url, `${twice} is there twice`)
  const names = path.split('/').filter((name) => name !== '')
  return { endpoints, tls: scheme === 'etcds', prefix: names.length === 0 ? defaultPrefix : `/${names.join('/')}/` }
}

function parseEndpoint(url: string, text: string): string {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(text)
  if (match === null) throw invalid(url, `expected host:port, received '${text}'`)
  const port = Number(match[2] ?? defaultPort)
  if (port < 1 || port > 65_535) throw invalid(url, `expected a port from 1 to 65535, received '${match[2]}'`)
  return `${match[1]}:${port}`
}

/** From MUSTER_ETCD_USER, _PASSWORD, _CA, _CERT and _KEY. */
export function etcdCredentialsFromEnvironment(env: Readonly<Record<string, string | undefined>>): EtcdCredentials {
  const credentials: { -readonly [K in keyof EtcdCredentials]: EtcdCredentials[K] } = {}
  for (const name of ['user', 'password', 'ca', 'cert', 'key'] as const) {
    const value = env[`MUSTER_ETCD_${name.toUpperCase()}`]
    if (value !== undefined && value !== '') credentials[name] = value
  }
  return credentials
}
