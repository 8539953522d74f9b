/** Runs and workers that nobody submitted or started: for what is planned, rehearsed and played again. */
import type { Capabilities, RunSpec, WorkerId } from '../core/entities.ts'
import type { Input } from '../core/input.ts'

const patienceMs = 3_600_000

/** A run that asks for nothing; what is known of it goes on top. */
export function plainRun(known: Pick<RunSpec, 'project' | 'suite'> & Partial<RunSpec>): RunSpec {
  return {
    framework: 'command',
    frameworkVersion: '',
    cwd: '',
    workspace: { type: 'none' },
    paths: [],
    args: [],
    complete: true,
    context: '',
    retries: 0,
    taskTimeoutMs: patienceMs,
    maxFailures: 0,
    priority: 0,
    labels: {},
    startupMs: 0,
    open: false,
    noWorkerTimeoutMs: patienceMs,
    ...known,
  }
}

/** On a host of its own, unless it is said to be on another's. */
export function machine(
  host: string,
  known: Pick<Capabilities, 'cpus' | 'speed'> & Partial<Capabilities>,
): Capabilities {
  return { os: 'linux', arch: 'x64', memoryBytes: Number.MAX_SAFE_INTEGER, host, labels: {}, tools: {}, ...known }
}

export function joinOf(worker: WorkerId, name: string, capabilities: Capabilities): Input {
  return { type: 'join', worker, name, version: '', capabilities, draining: false }
}
