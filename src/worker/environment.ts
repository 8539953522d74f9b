/**
 * The environment of a framework: in place it is the caller's own, so that a suite behaves as when
 * it is run by hand; elsewhere it is the worker's, with what the caller set beyond what belongs to a
 * host or a login. Muster's own secrets never reach a test.
 */
import path from 'node:path'
import { channelFd, channelVariable } from '../runners/channel.ts'

/** Belongs to the caller's host, login or terminal; wrong on another host. */
const hostBound = new Set(
  (
    'PATH HOME USER LOGNAME SHELL PWD OLDPWD SHLVL _ TMPDIR TMP TEMP HOSTNAME HOST MAIL DISPLAY WAYLAND_DISPLAY XAUTHORITY ' +
    'SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION SSH_TTY DBUS_SESSION_BUS_ADDRESS GPG_AGENT_INFO GPG_TTY LD_LIBRARY_PATH LD_PRELOAD ' +
    'MANPATH INFOPATH NVM_BIN NVM_DIR NVM_INC VIRTUAL_ENV CONDA_PREFIX PYTHONHOME GOPATH GOROOT JAVA_HOME NODE INIT_CWD'
  ).split(' '),
)
/** What lets a process speak to a coordinator. */
const secret = /^MUSTER_(.*_)?(TOKEN|SECRET|PASSWORD|KEY)S?$/
const hostBoundPrefix = /^(XDG_|npm_|DBUS_|SSH_|TERM_PROGRAM|VSCODE_)/

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
    for (const [name, value] of Object.entries(workers)) if (value !== undefined && !name.startsWith('MUSTER_')) env[name] = value
  }
  for (const [name, value] of Object.entries(callers)) {
    if (secret.test(name)) continue
    if (place.type !== 'in-place' && (hostBound.has(name) || hostBoundPrefix.test(name))) continue
    env[name] = value
  }
  env['PWD'] = place.cwd
  return env
}

export function batchEnvironment(project: Readonly<Record<string, string>>, place: Place, identity: Identity): Record<string, string> {
  return {
    ...project,
    TMPDIR: place.tempDir,
    MUSTER_RUN: identity.run,
    MUSTER_BATCH: identity.batch,
    MUSTER_WORKER: identity.worker,
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
