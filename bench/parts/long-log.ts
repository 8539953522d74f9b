/**
 * A log of many tasks as a busy day leaves it: open runs of a thousand files, half of them carried out
 * by a worker that has left since. Made by the core itself; or its outcome as a snapshot, and a short tail.
 */
import { promisify } from 'node:util'
import { zstdCompress } from 'node:zlib'
import { advance } from '../../src/core/advance.ts'
import { encodeEntry, type Event } from '../../src/core/events.ts'
import type { Input } from '../../src/core/input.ts'
import { defaultLimits } from '../../src/core/limits.ts'
import { capture } from '../../src/core/snapshot.ts'
import { emptyState, type State } from '../../src/core/state.ts'
import { plainSpec } from '../../src/core/transcript.ts'
import type { Log } from '../../src/log/log.ts'

const filesEach = 1000
const batchFiles = 100
const tailRuns = 10
/** Written at once: a log in etcd takes no larger ones lightly. */
const entryBytesMax = 256 * 1024

/** Names a coordinator that is gone: nobody listens at port 1. */
const nobody = 'bench/0@http://127.0.0.1:1'

export type Written = { readonly entries: number; readonly bytes: number }

/** Fills an empty log with `tasks` tasks. Tasks beyond those in the snapshot are `tailRuns` runs' worth. */
export async function writeLongLog(log: Log, tasks: number, snapshot: boolean): Promise<Written> {
  const { epoch, position: first } = await log.claim(nobody)
  const atMs = Date.now()
  const state = emptyState({ ...defaultLimits, queuedTasksMax: 10_000_000 })
  let position = first
  let written: Written = { entries: 0, bytes: 0 }
  let pending: Event[] = []
  const append = async (events: Event[]): Promise<void> => {
    const bytes = encodeEntry({ atMs, events })
    position += 1
    const result = await log.append(epoch, position, bytes)
    if (result.type !== 'ok') throw new Error(`expected ok, received ${result.type}`)
    written = { entries: written.entries + 1, bytes: written.bytes + bytes.length }
  }
  const flush = async (): Promise<void> => {
    if (pending.length > 0) await append(pending)
    pending = []
  }
  const runs = tasks / filesEach
  const inSnapshot = snapshot ? runs - tailRuns : 0
  for (let run = 0; run < runs; run += 1) {
    let bytes = 0
    for (const input of inputsOf(state, `run-${run}`)) {
      const events = advance(state, input, atMs)
      if (run < inSnapshot) continue
      bytes += filesEach * 20
      for (const event of events) pending.push(event)
      if (bytes > entryBytesMax) {
        bytes = 0
        await flush()
      }
    }
    await flush()
    if (run + 1 !== inSnapshot) continue
    await append([])
    const compressed = await promisify(zstdCompress)(Buffer.from(JSON.stringify(capture(state))))
    await log.putSnapshot(epoch, { position, bytes: compressed })
    await log.trim(position + 1)
    written = { entries: 0, bytes: compressed.length }
  }
  return written
}

/** One run: submitted; its first half assigned, begun, reported. */
function* inputsOf(state: State, run: string): Generator<Input> {
  const files = Array.from(
    { length: filesEach },
    (_, at) => `packages/package-${at % 97}/src/${run}/part-${at}.test.ts`,
  )
  const spec = { ...plainSpec, open: true, noWorkerTimeoutMs: 3_600_000 }
  yield { type: 'submit', run, who: 'client:bench', spec, files, estimates: files.map((_, at) => 100 + (at % 5000)) }
  const worker = `w-${run}`
  const capabilities = { os: 'linux', arch: 'x64', cpus: 4, memoryBytes: 2 ** 33, host: worker, labels: {}, tools: {} }
  yield { type: 'join', worker, name: worker, version: '1', capabilities, draining: false }
  for (let from = 0; from < filesEach / 2; from += batchFiles) {
    const tasks = Array.from({ length: batchFiles }, (_, at) => from + at)
    yield { type: 'assign', run, worker, tasks, cpus: 4, why: 'it is free' }
    const held = { worker, batch: `b${state.lastToken}`, token: state.lastToken }
    yield { type: 'start', ...held, tasks }
    const reports = tasks.map((task) => ({ task, outcome: 'passed', durationMs: 12, counts: [3, 0, 0, 0] }) as const)
    yield { type: 'report', ...held, reports }
    const nothing = { interrupted: [], timedOut: [], errors: [] }
    yield {
      type: 'end',
      ...held,
      ...nothing,
      reason: 'completed',
      exitCode: 0,
      signal: null,
      startupMs: 100,
      wallMs: 900,
    }
  }
  yield { type: 'leave', worker, why: 'it is done' }
}
