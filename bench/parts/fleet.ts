/** The cluster of the benchmarks of placement: workers of three sizes and speeds, what runs need of them, and how batches end. */
import type { Need } from '../../src/core/entities.ts'
import type { Input } from '../../src/core/input.ts'
import type { Batch, State } from '../../src/core/state.ts'

export const needs: readonly Need[] = [
  { cpus: 1, batchMax: 50 },
  { cpus: 2, memoryBytes: 4, where: 'os == linux and cpus >= 4' },
  { cpus: 1, gpus: { count: 1, memoryBytes: 8 } },
  { cpus: 1, resources: { licence: 1 }, batchMax: 20 },
]

export function join(at: number): Input {
  const cpus = 4 << (at % 3)
  const gpu = (id: number) => ({ id: String(id), vendor: 'nvidia', name: 'card', memoryBytes: 16 }) as const
  const capabilities = {
    os: 'linux',
    arch: 'x64',
    cpus,
    memoryBytes: 64,
    host: `host-${at}`,
    labels: {},
    tools: {},
    speed: 1 << (at % 3),
    ...(at % 4 === 0 ? { gpus: [gpu(0), gpu(1)] } : {}),
    ...(at % 8 === 0 ? { resources: { licence: 4 } } : {}),
  }
  return { type: 'join', worker: `w${at}`, name: `w${at}`, version: '1', capabilities, draining: false }
}

/** All its files passed. */
export function complete(state: State, batch: Batch): Input[] {
  const base = { worker: batch.worker, batch: batch.id, token: batch.token }
  const { tasks } = state.runs.get(batch.run)!
  const reports = batch.tasks
    .filter((index) => tasks[index]!.batch === batch.id)
    .map((task) => ({ task, outcome: 'passed', durationMs: 100, counts: [1, 0, 0, 0] }) as const)
  const end = { exitCode: 0, signal: null, startupMs: 400, wallMs: 1, interrupted: [], timedOut: [], errors: [] }
  return [
    { type: 'report', ...base, reports },
    { type: 'end', ...base, reason: 'completed', ...end },
  ]
}
