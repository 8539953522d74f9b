/**
 * How well each recovery level did, by kind of failure (cause and framework), with what it cost. Counts
 * are halved from time to time, so that they follow what changes, and rarely seen kinds are forgotten:
 * the table stays small whatever comes. It is part of state, so every coordinator decides alike.
 */
import type { RecoveryLevel, RetryCause } from './entities.ts'
import type { Recovery } from './events.ts'

export type LevelCounts = {
  readonly level: RecoveryLevel
  tried: number
  worked: number
  wallMs: number
  /** Of those tries whose usage is known. */
  measured: number
  cpuMs: number
  memoryBytes: number
}

export type Kind = { readonly kind: string; atMs: number; readonly levels: LevelCounts[] }

/** The kind last seen is last. */
export type KindTable = Map<string, Kind>

export const recoveryLevels: readonly RecoveryLevel[] = [
  'in-place',
  'fresh-process',
  'other-worker',
  'recycle-worker',
  'isolate',
]

export function kindOf(cause: RetryCause, framework: string): string {
  return `${cause} ${framework}`
}

export function causeOf(kind: string): RetryCause {
  return kind.slice(0, kind.indexOf(' ')) as RetryCause
}

/** Failures of a worker or a host, which all tasks of a batch share, count once a batch. */
export function countsOnce(cause: RetryCause): boolean {
  return cause === 'lost' || cause === 'infrastructure'
}

export function countsOf(table: KindTable, kind: string, level: RecoveryLevel): LevelCounts | undefined {
  return table.get(kind)?.levels.find((counts) => counts.level === level)
}

function touch(table: KindTable, name: string, level: RecoveryLevel, atMs: number, kindsMax: number): LevelCounts {
  const kind = table.get(name) ?? { kind: name, atMs, levels: [] }
  kind.atMs = atMs
  table.delete(name)
  table.set(name, kind)
  if (table.size > kindsMax) table.delete(table.keys().next().value!)
  let counts = kind.levels.find((one) => one.level === level)
  if (!counts) {
    counts = { level, tried: 0, worked: 0, wallMs: 0, measured: 0, cpuMs: 0, memoryBytes: 0 }
    kind.levels.push(counts)
    kind.levels.sort((a, b) => recoveryLevels.indexOf(a.level) - recoveryLevels.indexOf(b.level))
  }
  return counts
}

export type TableLimits = { readonly recoveryKindsMax: number; readonly recoveryTriesMax: number }

export function countRecovery(table: KindTable, recovery: Recovery, atMs: number, limits: TableLimits): void {
  const { kind, level, outcome, tasks, wallMs, cpuMs, memoryBytes } = recovery
  const counts = touch(table, kind, level, atMs, limits.recoveryKindsMax)
  const tries = countsOnce(causeOf(kind)) ? 1 : tasks.length
  counts.tried += tries
  if (outcome === 'worked') counts.worked += tries
  counts.wallMs += wallMs
  if (cpuMs !== undefined && memoryBytes !== undefined) {
    counts.measured += tries
    counts.cpuMs += cpuMs
    counts.memoryBytes += memoryBytes * tries
  }
  if (counts.tried <= limits.recoveryTriesMax) return
  for (const key of ['tried', 'worked', 'wallMs', 'measured', 'cpuMs', 'memoryBytes'] as const) {
    counts[key] = Math.floor(counts[key] / 2)
  }
}

/** No further attempt was allowed to so many tasks. */
export function countIsolated(table: KindTable, kind: string, tasks: number, atMs: number, limits: TableLimits): void {
  touch(table, kind, 'isolate', atMs, limits.recoveryKindsMax).tried += tasks
}
