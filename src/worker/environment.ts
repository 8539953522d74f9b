/**
 * The environment of a framework: in place it is the caller's own, so that a suite behaves as when
 * it is run by hand; elsewhere it is the worker's, with what the caller sent along on top. Muster's own
 * secrets never reach a test.
 */
import path from 'node:path'
import { channelFd, channelVariable } from '../runners/channel.ts'

/** What lets a process speak to a coordinator. */
const secret = /^MUSTER_(.*_)?(TOKEN|SECRET|PASSWORD|KEY)S?$/

export type Place = {
  readonly type: 'in-place' | 'travel' | 'none'
  readonly cwd: string
  /** The attempt's own directory for temporary files. */
  readonly tempDir: string
}

export type Identity = { readonly run: string; readonly batch: string; readonly worker: string }

/** What the project's own processes see, before Muster's variables. */
export function projectEnvironment(
  callers: Readonly<Record<string, string>>,
  workers: Readonly<Record<string, string | undefined>>,
  place: Pick<Place, 'type' | 'cwd'>,
): Record<string, string> {
  const env: Record<string, string> = {}
  if (place.type !== 'in-place') {
    for (const [name, value] of Object.entries(workers))
      if (value !== undefined && !name.startsWith('MUSTER_')) env[name] = value
  }
  for (const [name, value] of Object.entries(callers)) {
    if (!secret.test(name)) env[name] = value
  }
  env['PWD'] = place.cwd
  return env
}

/** Batch ids are a coordinator's own, and a host may work for several: only with the worker's is it one of a kind. */
export function attemptMark(worker: string, batch: string): string {
  return `${worker}.${batch}`
}

export function batchEnvironment(
  project: Readonly<Record<string, string>>,
  place: Place,
  identity: Identity,
): Record<string, string> {
  return {
    ...project,
    TMPDIR: place.tempDir,
    MUSTER_RUN: identity.run,
    MUSTER_BATCH: identity.batch,
    MUSTER_WORKER: identity.worker,
    MUSTER_ATTEMPT: attemptMark(identity.worker, identity.batch),
    [channelVariable]: String(channelFd),
  }
}

/**
 * Caches that tools keep under TMPDIR for all processes of a user. With a directory of its own an
 * attempt would start cold each time, so they are linked into it.
 */
export function sharedCaches(uid: number): string[] {
  return ['node-compile-cache', `jest_${uid.toString(36)}`, `tsx-${uid}`, `v8-compile-cache-${uid}`]
}

export function callersTempDir(env: Readonly<Record<string, string>>, fallback: string): string {
  const named = env['TMPDIR']
  return named !== undefined && path.isAbsolute(named) ? named : fallback
}
