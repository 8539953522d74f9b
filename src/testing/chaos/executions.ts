/**
 * Who executed what, as the tests themselves wrote it down, against what the log says. An execution
 * without an assignment, two of one attempt, or two of one file at the same time on workers that could
 * have fenced themselves: each is a violation.
 */
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'
import type { Ledger } from '../sim/ledger.ts'
import type { Violations } from '../sim/violations.ts'

/** A worker's process could do nothing from then to then. */
export type Freeze = { readonly worker: string; readonly fromMs: number; toMs: number }

/** The clock that all processes of this machine share. */
export const nowMs = (): number => Number(process.hrtime.bigint() / 1000n) / 1000

export type Execution = {
  readonly id: string
  readonly file: string
  readonly run: string
  readonly batch: string
  readonly worker: string
  readonly beginMs: number
  /** Its last sign of life. */
  lastMs: number
  ended: boolean
}

type Line = { readonly id: string; readonly atMs: number } & (
  | {
      readonly type: 'begin'
      readonly file: string
      readonly run: string
      readonly batch: string
      readonly worker: string
    }
  | { readonly type: 'tick' }
  | { readonly type: 'end' }
)

/** A worker that wakes needs so long, on a busy machine, to see that its time is over and to kill. */
const wakeMs = 5000

export class Executions {
  readonly file: string
  #offset = 0
  #rest = ''
  readonly all = new Map<string, Execution>()

  constructor(file: string) {
    this.file = file
  }

  /** Reads what was written since. */
  read(): void {
    if (!existsSync(this.file)) return
    const bytes = Buffer.alloc(statSync(this.file).size - this.#offset)
    const descriptor = openSync(this.file, 'r')
    readSync(descriptor, bytes, 0, bytes.length, this.#offset)
    closeSync(descriptor)
    this.#offset += bytes.length
    const lines = `${this.#rest}${bytes.toString()}`.split('\n')
    this.#rest = lines.pop()!
    for (const line of lines) this.#line(JSON.parse(line) as Line)
  }

  #line(line: Line): void {
    const known = this.all.get(line.id)
    if (line.type === 'begin') {
      const { id, atMs, file, run, batch, worker } = line
      this.all.set(id, { id, file, run, batch, worker, beginMs: atMs, lastMs: atMs, ended: false })
    } else if (known) {
      known.lastMs = line.atMs
      known.ended ||= line.type === 'end'
    }
  }

  /** Of these runs. `nameOf`: of a worker, by id. */
  check(
    runs: readonly string[],
    ledger: Ledger,
    freezes: readonly Freeze[],
    nameOf: (worker: string) => string,
  ): Again {
    const { violations } = ledger
    const again: Again = { all: 0, count: 0, interrupted: 0, overlaps: 0 }
    const wanted = new Set(runs)
    const byFile = Map.groupBy(
      [...this.all.values()].filter((one) => wanted.has(one.run)),
      (one) => `${one.run} ${one.file}`,
    )
    for (const executions of byFile.values()) {
      again.all += executions.length
      again.count += executions.length - 1
      again.interrupted += executions.filter((one) => !one.ended).length
      for (const one of executions) assigned(one, ledger, violations)
      const attempts = Map.groupBy(executions, (one) => one.batch)
      for (const [batch, same] of attempts) {
        if (same.length > 1)
          violations.found('an attempt is executed once', `${same[0]!.file} in ${batch}, ${same.length} times`)
      }
      again.overlaps += overlaps(executions, violations, freezes, nameOf)
    }
    for (const run of runs) reported(run, ledger, byFile, violations)
    return again
  }
}

export type Again = {
  all: number
  /** Executions beyond the first of a file in a run. */
  count: number
  /** Executions that never came to their end. */
  interrupted: number
  /** Two at the same time, because a worker was frozen. */
  overlaps: number
}

function assigned(one: Execution, ledger: Ledger, violations: Violations): void {
  const batch = ledger.batches.get(one.batch)
  const run = ledger.runs.get(one.run)
  const index = run?.tasks.findIndex((task) => task.file === one.file) ?? -1
  if (batch && batch.worker === one.worker && batch.run === one.run && batch.tasks.includes(index)) return
  const has = batch ? `${batch.worker}, tasks ${batch.tasks.join(' ')}` : 'no such batch'
  violations.found(
    'executed means assigned',
    `${one.file} of ${one.run} in ${one.batch} on ${one.worker}; the log has ${has}`,
  )
}

function overlaps(
  executions: readonly Execution[],
  violations: Violations,
  freezes: readonly Freeze[],
  nameOf: (worker: string) => string,
): number {
  let excused = 0
  const sorted = executions.toSorted((a, b) => a.beginMs - b.beginMs)
  for (const [at, first] of sorted.entries()) {
    for (const second of sorted.slice(at + 1)) {
      if (first.lastMs <= second.beginMs) continue
      const frozen = freezes.some(
        ({ worker, fromMs, toMs }) =>
          worker === nameOf(first.worker) && fromMs < second.beginMs && first.lastMs < toMs + wakeMs,
      )
      excused += 1
      if (frozen) continue
      const words =
        `${first.file} of ${first.run}: on ${nameOf(first.worker)} (${first.batch}) until ${first.lastMs.toFixed(0)}, ` +
        `on ${nameOf(second.worker)} (${second.batch}) from ${second.beginMs.toFixed(0)}`
      violations.found('a worker that is cut off ends its tests before others start them', words)
    }
  }
  return excused
}

/** Every reported attempt was really executed, and every execution beyond the first has a cause in the log. */
function reported(id: string, ledger: Ledger, byFile: Map<string, Execution[]>, violations: Violations): void {
  for (const task of ledger.runs.get(id)?.tasks ?? []) {
    const executions = byFile.get(`${id} ${task.file}`) ?? []
    for (const attempt of task.attempts) {
      if (!attempt.reported || executions.some((one) => one.batch === attempt.batch)) continue
      violations.found('reported means executed', `${task.file} of ${id} in ${attempt.batch} (${attempt.ended})`)
    }
    if (executions.length - 1 > task.requeued.length) {
      const words = `${task.file} of ${id}: ${executions.length} executions, requeued for ${task.requeued.join(', ') || 'nothing'}`
      violations.found('executed again means requeued', words)
    }
  }
}
