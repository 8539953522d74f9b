/** Whether a travelling workspace can be laid out: its manifest and every file of it must be among the blobs. */
import Value from 'typebox/value'
import type { Blobs } from '../blobs/blobs.ts'
import { MusterError } from '../protocol/errors.ts'
import { Manifest } from '../protocol/worker-messages.ts'

/** The blobs that a manifest names; undefined when there is no such manifest. */
export async function workspaceBlobs(blobs: Pick<Blobs, 'get'>, key: string): Promise<readonly string[] | undefined> {
  const bytes = await blobs.get(key)
  const manifest = bytes && parseJson(Buffer.from(bytes).toString('utf8'))
  if (!Value.Check(Manifest, manifest)) return undefined
  return [...new Set(manifest.entries.flatMap((entry) => (entry.type === 'file' ? [entry.hash] : [])))]
}

/** Throws MusterError workspace_invalid. */
export async function checkManifest(blobs: Blobs, key: string): Promise<void> {
  const keys = await workspaceBlobs(blobs, key)
  if (keys === undefined) {
    throw new MusterError(
      'workspace_invalid',
      (await blobs.get(key)) ? `blob ${key} is not a workspace manifest` : `the manifest ${key} has not been uploaded`,
    )
  }
  const missing = await blobs.missing(keys)
  if (missing.length > 0) {
    throw new MusterError('workspace_invalid', `${missing.length} of the workspace's files have not been uploaded`, {
      hint: 'POST /api/v1/blobs/missing says which; PUT /api/v1/blobs/HASH takes them.',
    })
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Whoever checks its shape says what it should have been.
    return undefined
  }
}
