/**
 * Makes a suite's workspace travel: what the coordinator lacks is uploaded, the rest is named. Of the
 * environment only what was asked for by name goes along; the worker has its own.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Client } from '../client/client.ts'
import type { Suite } from '../runners/detect.ts'
import { cacheDirectory } from './places.ts'
import { buildManifest } from './workspace/manifest.ts'

const uploadsAtOnce = 8

export type Travelled = {
  readonly cwd: string
  readonly workspace: { readonly type: 'travel'; readonly manifest: string; readonly setup?: string }
  readonly env: Readonly<Record<string, string>>
}

/** Variables that say how tests behave, not what machine they are on. */
const alwaysEnv = ['CI', 'TZ', 'LANG', 'LC_ALL', 'NODE_ENV', 'NODE_OPTIONS', 'FORCE_COLOR', 'NO_COLOR']

export async function travel(
  client: Client,
  suite: Suite,
  setup: string | undefined,
  envNames: readonly string[],
): Promise<Travelled> {
  const { cwd } = suite.project
  const built = await buildManifest({ cwd, cacheDir: cacheDirectory(), ...(setup === undefined ? {} : { setup }) })
  const bytes = Buffer.from(JSON.stringify(built.manifest))
  const manifest = createHash('sha256').update(bytes).digest('hex')
  const missing = await client.missingBlobs([...built.files.keys(), manifest])
  const queue = missing.filter((key) => key !== manifest)
  await Promise.all(
    Array.from({ length: uploadsAtOnce }, async () => {
      for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
        const path = built.files.get(key)!
        await client.putBlob(key, () => createReadStream(path), (await stat(path)).size)
      }
    }),
  )
  if (missing.includes(manifest)) await client.putBlob(manifest, () => once(bytes), bytes.length)
  return {
    cwd: built.cwdInRoot,
    workspace: { type: 'travel', manifest, ...(built.setup === undefined ? {} : { setup: built.setup }) },
    env: environment(suite, envNames),
  }
}

function environment(suite: Suite, envNames: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {}
  for (const name of [...alwaysEnv, ...envNames]) {
    const value = suite.project.env[name]
    if (value !== undefined) env[name] = value
  }
  // What the configuration sets for the suite differs from our own environment.
  for (const [name, value] of Object.entries(suite.project.env)) if (process.env[name] !== value) env[name] = value
  return env
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
