/** What an S3 store is, and how it is called in front of people. */
import type { IncomingHttpHeaders } from 'node:http'

/** A store and who asks it. */
export type S3Store = {
  readonly bucket: string
  /** Before every name; empty, or ending in `/`. */
  readonly prefix: string
  readonly endpoint: URL
  readonly region: string
  /** The bucket in the path, rather than in the host name. */
  readonly pathStyle: boolean
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

export type S3Answer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Uint8Array }

export function nameOf({ bucket, prefix }: S3Store): string {
  return `s3://${bucket}/${prefix}`.replace(/\/$/, '')
}
