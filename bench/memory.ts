/**
 * What a queued task costs in the coordinator's memory: 100 000 tasks with paths of usual length, submitted
 * to the core as one run and as a hundred, decoded from an entry of the log as they are after a restart.
 * Baseline: the same paths alone, as an array of strings. Heap after a full collection; goal ≤ 0.8 KB.
 */
import { advance, apply } from '../src/core/advance.ts'
import type { RunSpec } from '../src/core/entities.ts'
import { decodeEntry, encodeEntry, type Event } from '../src/core/events.ts'
import { emptyState } from '../src/core/state.ts'

const taskCount = 100_000
const goalBytes = 800

const collect = (globalThis as { gc?: () => void }).gc
if (collect === undefined) throw new Error('start it through `npm run bench`, which passes --expose-gc')

function heapBytes(): number {
  // Twice: what the first collection frees may hold what the second one finds.
  collect?.()
  collect?.()
  return process.memoryUsage().heapUsed + process.memoryUsage().external
}

const spec: RunSpec = {
  framework: 'vitest',
  frameworkVersion: '4.1.2',
  suite: 'vitest',
  project: 'bench',
  cwd: '/bench',
  workspace: { type: 'none' },
  paths: [],
  args: [],
  complete: true,
  context: '',
  retries: 0,
  taskTimeoutMs: 600_000,
  maxFailures: 0,
  priority: 0,
  labels: {},
  startupMs: 800,
  open: false,
  noWorkerTimeoutMs: 60_000,
}

const pathOf = (index: number): string => `packages/package-${index % 97}/src/components/part-${index}/part.test.ts`

function submitted(runs: number): Uint8Array {
  const state = emptyState()
  const events: Event[] = []
  const perRun = taskCount / runs
  for (let run = 0; run < runs; run++) {
    const files = Array.from({ length: perRun }, (_, index) => pathOf(run * perRun + index))
    const estimates = files.map((_, index) => (index % 10 === 0 ? null : 100 + (index % 5_000)))
    events.push(
      ...advance(state, { type: 'submit', run: `run-${run}`, who: 'client:bench', spec, files, estimates }, 1_000),
    )
  }
  return encodeEntry({ atMs: 1_000, events })
}

/** Heap that stays because `make`'s answer is held. */
function heldBytes(make: () => unknown): number {
  const beforeBytes = heapBytes()
  const held = make()
  const bytes = heapBytes() - beforeBytes
  // Used after the measurement, so that it can't have been collected before.
  if (held === undefined) throw new Error('nothing was made')
  return bytes
}

function report(name: string, bytes: number): void {
  const perTask = bytes / taskCount
  console.log(
    `${name.padEnd(36)} ${perTask.toFixed(0).padStart(6)} B per task   ${(bytes / 2 ** 20).toFixed(1).padStart(7)} MiB`,
  )
}

report(
  'paths alone (baseline)',
  heldBytes(
    () => JSON.parse(JSON.stringify(Array.from({ length: taskCount }, (_, index) => pathOf(index)))) as string[],
  ),
)
let worstBytes = 0
for (const runs of [1, 100]) {
  const entry = submitted(runs)
  const bytes = heldBytes(() => {
    const state = emptyState()
    const { atMs, events } = decodeEntry(entry)
    for (const event of events) apply(state, event, atMs)
    return state
  })
  report(`queued, ${runs === 1 ? 'one run' : `${runs} runs`}`, bytes)
  worstBytes = Math.max(worstBytes, bytes / taskCount)
}
console.log(`goal ≤ ${goalBytes} B per task: ${worstBytes <= goalBytes ? 'met' : 'missed'}`)
