/**
 * The host daemon: this user's coordinator and worker on this host. Started in the background by the
 * first command that needs it, gone after ten idle minutes, replaced when the program changed. Its
 * log is the lock: of two started at once, one finds the log taken and leaves.
 */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import type { Client } from '../client/client.ts'
import type { HealthView } from '../protocol/api.ts'
import { isMusterError, MusterError } from '../protocol/errors.ts'
import { buildId, hostDirectory, launcher, privateDirectory } from './places.ts'

const startTimeoutMs = 20_000
const killedMaxMs = 2 * startTimeoutMs
const pollMs = 15
const logBytesMax = 4 * 1024 * 1024

export const daemonIdleMs = 10 * 60_000

export function daemonLogPath(): string {
  return join(hostDirectory(), 'daemon.log')
}

/** Returns once a daemon of this very program answers. */
export async function ensureDaemon(client: Client, say: (text: string) => void = () => undefined): Promise<void> {
  let health = await healthOf(client)
  if (health?.build === buildId()) return
  if (health) health = await replace(client, health, say)
  const sinceMs = Date.now()
  let deadlineMs = sinceMs + startTimeoutMs
  let started = start()
  for (;;) {
    const answer = await healthOf(client)
    // Compared with the program as it is now: a clone may change while a daemon starts.
    if (answer?.build === buildId()) return
    if (answer) {
      // Ours, or one that somebody else started meanwhile from another state of the program.
      await replace(client, answer, say)
      started = start()
    }
    const exit = started.exit()
    if (typeof exit === 'number' && exit !== 0) {
      throw new MusterError(
        'coordinator_unreachable',
        `The host daemon did not start (exit code ${exit}): ${lastWords()}`,
        {
          hint: `Its log is ${daemonLogPath()}. 'muster run --no-daemon' goes without it.`,
        },
      )
    }
    // Killed, it did nothing wrong, and the next one has its time; but they don't die under our hands for ever.
    if (exit === 'killed') deadlineMs = Math.min(Date.now(), sinceMs + killedMaxMs) + startTimeoutMs
    // Another one held the log and may have left since.
    if (exit !== undefined && !answer) started = start()
    if (Date.now() > deadlineMs) {
      throw new MusterError(
        'coordinator_unreachable',
        `The host daemon did not answer within ${startTimeoutMs / 1000} s: ${lastWords()}`,
        {
          hint: `Its log is ${daemonLogPath()}.`,
        },
      )
    }
    await new Promise((resolve) => setTimeout(resolve, exit === undefined ? pollMs : 200))
  }
}

async function healthOf(client: Client): Promise<HealthView | undefined> {
  try {
    return await client.health()
  } catch (error) {
    if (isMusterError(error) && error.code === 'coordinator_unreachable') return undefined
    throw error
  }
}

/** Another version is running: it leaves when its runs are done. */
async function replace(client: Client, old: HealthView, say: (text: string) => void): Promise<undefined> {
  let said = false
  for (;;) {
    const health = await healthOf(client)
    if (!health || health.pid !== old.pid) return undefined
    if (health.activeRuns === 0) {
      await client.shutdown().catch((error: unknown) => {
        if (!isMusterError(error)) throw error
      })
    } else if (!said) {
      said = true
      say(
        `muster: another version (${health.version}) is running ${health.activeRuns} run(s) here; waiting for it. --no-daemon goes without it.`,
      )
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function start(): { exit(): number | 'killed' | undefined } {
  const directory = privateDirectory(hostDirectory())
  const logPath = join(directory, 'daemon.log')
  const log = openSync(logPath, 'a', 0o600)
  if (statSync(logPath).size > logBytesMax) truncateSync(logPath)
  const child = spawn(process.execPath, [launcher, 'daemon'], {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: directory,
    env: { ...process.env, MUSTER_TOKEN: '' },
  })
  closeSync(log)
  let exit: number | 'killed' | undefined
  child.on('exit', (code) => {
    exit = code ?? 'killed'
  })
  child.on('error', () => {
    exit = 1
  })
  child.unref()
  return { exit: () => exit }
}

function lastWords(): string {
  const lines = readFileSync(daemonLogPath(), 'utf8').trimEnd().split('\n')
  const last = lines.at(-1) ?? ''
  try {
    const entry = JSON.parse(last) as { msg?: string }
    return entry.msg ?? last
  } catch {
    return last
  }
}
