/** `muster workers`: who is there and what they have; with a name, everything that is known of one. */
import type { WorkerView } from '../../protocol/run-view.ts'
import { machineLines, gigabytes, gpuWords } from '../machine-text.ts'
import { terminalOf } from '../reporters/terminal.ts'
import { counted, fitEnd, width } from '../reporters/text-fit.ts'
import { ago, table } from '../table.ts'
import { print, withClient, type LookOptions } from './look.ts'

/** Enough of a fingerprint to tell some thousand machines apart. */
const shortFingerprint = 7
const nameColumnsMax = 24
/** So that a line of a usual worker fits a terminal of 80 columns. */
const narrowGpuColumns = 14
const wideGpuColumns = 40
const wideColumns = 110

export async function workersCommand(named: string | undefined, options: LookOptions): Promise<number> {
  if (named !== undefined) return workerCommand(named, options)
  const workers = await withClient(options, (client) => client.workers())
  const columns = terminalOf(process.stdout, process.env).columns()
  return print(options, workers, () => (workers.length === 0 ? 'no workers\n' : workersTable(workers, columns)))
}

/** Left out where the table is too wide otherwise, the first first: `muster workers NAME` has them. */
const dispensable: readonly string[] = ['MACHINE', 'SPEED', 'FREE']

/** Columns in which nobody has anything are left out. */
export function workersTable(workers: readonly WorkerView[], columnsMax = 80): string {
  const gpuColumnsMax = columnsMax >= wideColumns ? wideGpuColumns : narrowGpuColumns
  const columns: readonly [string, (worker: WorkerView) => string | number][] = [
    ['WORKER', (worker) => worker.worker],
    ['NAME', (worker) => fitEnd(worker.name, nameColumnsMax)],
    ['STATE', stateOf],
    ['CPUS', (worker) => worker.cpus],
    ['FREE', (worker) => worker.cpusFree],
    ['MEMORY', (worker) => gigabytes(worker.memoryBytes)],
    ['GPUS', (worker) => fitEnd(gpuWords(worker.gpus ?? []), gpuColumnsMax)],
    ['SPEED', (worker) => worker.speed?.toFixed(2) ?? ''],
    ['MACHINE', (worker) => worker.fingerprint?.slice(0, shortFingerprint) ?? ''],
    ['LABELS', (worker) => labelsOf(worker).join(' ')],
    ['DOES', (worker) => worker.batches.map((batch) => `${batch.run} (${counted(batch.tasks, 'file')})`).join(', ')],
  ]
  const shown = columns
    .map(([header, cell]) => ({ header, cells: workers.map(cell) }))
    .filter(({ cells }) => cells.some((cell) => cell !== ''))
  const drawn = (without: readonly string[]): string => {
    const kept = shown.filter(({ header }) => !without.includes(header))
    return table(
      kept.map(({ header }) => header),
      workers.map((_, row) => kept.map(({ cells }) => cells[row]!)),
    )
  }
  const candidates = [0, 1, 2, 3].map((count) => drawn(dispensable.slice(0, count)))
  const fits = (text: string): boolean => text.split('\n').every((line) => width(line) <= columnsMax)
  // Where none fits, what work there is matters more than a line's length.
  return candidates.find(fits) ?? candidates[0]!
}

function stateOf(worker: WorkerView): string {
  return worker.breaker === undefined ? worker.state : `${worker.state}, breaker ${worker.breaker}`
}

function labelsOf(worker: Pick<WorkerView, 'labels'>): string[] {
  return Object.entries(worker.labels)
    .filter(([key]) => !key.startsWith('muster.'))
    .map(([key, value]) => `${key}=${value}`)
}

async function workerCommand(named: string, options: LookOptions): Promise<number> {
  const worker = await withClient(options, (client) => client.worker(named))
  return print(options, worker, () => {
    const batches = worker.batches.map(
      (batch) => `${batch.run} (${counted(batch.tasks, 'file')}, ${counted(batch.cpus, 'CPU')})`,
    )
    const head: [string, string][] = [
      ['worker', `${worker.worker} ${worker.name}, muster ${worker.version}`],
      ['state', `${stateOf(worker)}, heard ${ago(worker.lastHeardMs)}`],
      ['does', batches.join(', ')],
      ['free', `${worker.cpusFree} of ${worker.cpus} CPUs`],
      ['labels', labelsOf(worker).join(', ')],
    ]
    const terminal = terminalOf(process.stdout, process.env)
    return machineLines(head, worker, terminal.columns(), terminal.paint)
  })
}
