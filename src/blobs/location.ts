/**
 * Where blobs are, as one string that can be passed between processes: a directory, or
 * `s3://bucket/prefix?endpoint=…&region=…&pathStyle=true`. It never holds a secret: credentials come
 * from the environment, under the names that every S3 tool reads. This is the one place that opens a
 * blob store from its location.
 */
import { resolve } from 'node:path'
import { MusterError } from '../protocol/errors.ts'
import type { Blobs } from './blobs.ts'
import { DirectoryBlobs } from './directory.ts'
import { S3Blobs } from './s3.ts'
import type { S3Store } from './s3-store.ts'

type Environment = { readonly [name: string]: string | undefined }

const parameters = ['endpoint', 'region', 'pathStyle']
const bucketPattern = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
const prefixPattern = /^[A-Za-z0-9._/-]*$/

/** Opens without asking the network: a store that is away now is found by `check`. */
export async function openBlobs(location: string, environment: Environment = process.env): Promise<Blobs> {
  if (isS3Location(location)) return new S3Blobs(parseS3Location(location, environment))
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(location)) {
    throw invalid(`expected a directory or s3://BUCKET/PREFIX, received ${location.split('://')[0]}://…`)
  }
  if (location === '') throw invalid('expected a directory or s3://BUCKET/PREFIX, received nothing')
  return await DirectoryBlobs.open(resolve(location))
}

export function isS3Location(location: string): boolean {
  return location.startsWith('s3://')
}

export function parseS3Location(location: string, environment: Environment): S3Store {
  if (!URL.canParse(location)) throw invalid('expected s3://BUCKET/PREFIX?endpoint=URL&region=NAME')
  const url = new URL(location)
  refuseSecrets(url)
  const unknown = [...url.searchParams.keys()].filter((name) => !parameters.includes(name))
  if (unknown.length > 0) throw invalid(`expected the parameters ${parameters.join(', ')}, received '${unknown[0]}'`)
  const bucket = url.hostname
  if (url.port !== '' || !bucketPattern.test(bucket)) {
    throw invalid(
      `expected the name of a bucket after s3:// (3 to 63 lower-case letters, digits, dots and dashes), received '${url.host}'`,
      "A store of one's own is named by ?endpoint=URL.",
    )
  }
  const folder = url.pathname.replace(/^\/+|\/+$/g, '')
  if (!prefixPattern.test(folder)) {
    throw invalid(`expected a prefix of letters, digits, '.', '_', '-' and '/', received '${folder}'`)
  }
  const region = firstOf(url.searchParams.get('region'), environment['AWS_REGION'], environment['AWS_DEFAULT_REGION'])
  const given = firstOf(
    url.searchParams.get('endpoint'),
    environment['AWS_ENDPOINT_URL_S3'],
    environment['AWS_ENDPOINT_URL'],
  )
  const endpoint = parseEndpoint(given ?? `https://s3.${region ?? 'us-east-1'}.amazonaws.com`)
  return {
    bucket,
    prefix: folder === '' ? '' : `${folder}/`,
    region: region ?? 'us-east-1',
    endpoint,
    // A name with dots doesn't fit the store's certificate as a host name.
    pathStyle: parsePathStyle(url.searchParams.get('pathStyle')) ?? (given !== undefined || bucket.includes('.')),
    ...credentials(environment),
  }
}

/** Whatever is found here is not repeated in the message: it may be in a log soon. */
function refuseSecrets(url: URL): void {
  const named = [...url.searchParams.keys()].find((name) => /key|secret|token|password|credential/i.test(name))
  const endpoint = url.searchParams.get('endpoint')
  const inEndpoint = endpoint !== null && URL.canParse(endpoint) && new URL(endpoint).username !== ''
  if (url.username === '' && url.password === '' && named === undefined && !inEndpoint) return
  throw invalid(
    'it holds credentials, and a location is shown to people and other processes',
    'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, and leave them out of the location.',
  )
}

function credentials(environment: Environment): Pick<S3Store, 'accessKeyId' | 'secretAccessKey' | 'sessionToken'> {
  const accessKeyId = environment['AWS_ACCESS_KEY_ID']
  const secretAccessKey = environment['AWS_SECRET_ACCESS_KEY']
  const sessionToken = environment['AWS_SESSION_TOKEN']
  if (!accessKeyId || !secretAccessKey) {
    const absent = accessKeyId ? 'AWS_SECRET_ACCESS_KEY' : 'AWS_ACCESS_KEY_ID'
    throw invalid(`an S3 store needs credentials, and ${absent} is not set`, `Set ${absent} where Muster is started.`)
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) }
}

function parseEndpoint(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '') {
    throw invalid("expected the endpoint to be like 'https://s3.example.org:9000'")
  }
  return url
}

function parsePathStyle(text: string | null): boolean | undefined {
  if (text === null) return undefined
  if (text === 'true' || text === 'false') return text === 'true'
  throw invalid(`expected pathStyle to be true or false, received '${text}'`)
}

function firstOf(...texts: readonly (string | null | undefined)[]): string | undefined {
  return texts.find((text) => text !== null && text !== undefined && text !== '') ?? undefined
}

function invalid(problem: string, hint?: string): MusterError {
  return new MusterError(
    'config_invalid',
    `Cannot use the blob location: ${problem}`,
    hint === undefined ? {} : { hint },
  )
}
