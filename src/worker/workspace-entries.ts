/**
 * A manifest from another host, checked before anything is written: every path stays inside the
 * workspace, and none leads through a symbolic link or a file of the same manifest.
 */
import { MusterError } from '../protocol/errors.ts'
import type { Manifest } from '../protocol/worker-messages.ts'
import { arrayOf, boolean, number, object, oneOf, string } from './shape.ts'

export type ManifestEntry = Manifest['entries'][number]

const isFile = object({ path: string, type: oneOf('file'), hash: string, bytes: number, executable: boolean })
const isSymlink = object({ path: string, type: oneOf('symlink'), target: string })
const isManifest = object({
  version: (value) => value === 1,
  name: string,
  entries: arrayOf((value) => isFile(value) || isSymlink(value)),
})
const hashPattern = /^[0-9a-f]{64}$/
const namePattern = /^[A-Za-z0-9_-]{1,100}$/

/** Throws MusterError workspace_invalid. */
export function parseManifest(bytes: Uint8Array): Manifest {
  const manifest = parse(bytes)
  if (!namePattern.test(manifest.name))
    throw invalid(`its name '${manifest.name.slice(0, 100)}' holds more than letters, digits, - and _`)
  const kinds = new Map<string, ManifestEntry['type']>()
  for (const entry of manifest.entries) {
    checkPath(entry.path)
    if (kinds.has(entry.path)) throw invalid(`'${entry.path}' is in it twice`)
    kinds.set(entry.path, entry.type)
    if (entry.type === 'file' && !hashPattern.test(entry.hash)) throw invalid(`'${entry.path}' has no SHA-256`)
    if (entry.type === 'symlink' && (entry.target === '' || entry.target.includes('\0')))
      throw invalid(`the link '${entry.path}' has no target`)
  }
  for (const { path } of manifest.entries) {
    for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
      const parent = path.slice(0, slash)
      const kind = kinds.get(parent)
      if (kind !== undefined) throw invalid(`'${path}' leads through '${parent}', which is a ${kind}`)
    }
  }
  return manifest
}

function parse(bytes: Uint8Array): Manifest {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(bytes))
  } catch (cause) {
    throw new MusterError('workspace_invalid', `Cannot parse the workspace's manifest: ${(cause as Error).message}`, {
      cause,
    })
  }
  if (!isManifest(value)) throw invalid('it is not a manifest of version 1')
  return value as Manifest
}

function checkPath(path: string): void {
  if (path.startsWith('/')) throw invalid(`'${path}' is an absolute path`)
  if (path.includes('\0')) throw invalid(`'${path.replaceAll('\0', '\\0')}' holds a NUL byte`)
  const steps = path.split('/')
  if (steps.some((step) => step === '' || step === '.' || step === '..'))
    throw invalid(`'${path}' is not a plain path inside the workspace`)
}

function invalid(what: string): MusterError {
  return new MusterError('workspace_invalid', `Cannot use the workspace's manifest: ${what}`, {
    hint: 'Expected relative POSIX paths without . and .. that lead through directories only.',
  })
}
