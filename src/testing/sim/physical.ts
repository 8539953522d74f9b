/**
 * What runs where, seen from above: no two processes run the same task at once, and no host runs more
 * than it has. The log can't show this: there a batch is over as soon as its worker counts as lost.
 * The only excuse is a worker's process that was held up (paused, frozen) and could not end what it
 * should have; it must do so as soon as it wakes.
 */
import type { Event } from '../../core/events.ts'
import type { Ledger } from './ledger.ts'
import type { Job } from './sim-executor.ts'
import type { Violations } from './violations.ts'

/** A worker that wakes has so long to end what isn't its own any more. */
const wakeMs = 3000

export class PhysicalWatch {
  readonly #violations: Violations
  readonly #ledger: Ledger
  readonly #nowMs: () => number
  /** Process (by worker id) → when it was last known to be held up. */
  readonly #heldUpMs = new Map<string, number>()
  readonly #jobs = new Set<Job>()
  /** `run/task` → jobs whose process runs it. */
  readonly #tasks = new Map<string, Set<Job>>()
  /** `token/task` → what its process said. */
  readonly #outcomes = new Map<string, string>()
  readonly #cpus: (worker: string) => number
  readonly #count: (what: string) => void

  constructor(
    violations: Violations,
    ledger: Ledger,
    nowMs: () => number,
    cpus: (worker: string) => number,
    count: (what: string) => void,
  ) {
    this.#violations = violations
    this.#ledger = ledger
    this.#nowMs = nowMs
    this.#cpus = cpus
    this.#count = count
  }

  heldUp(worker: string): void {
    this.#heldUpMs.set(worker, this.#nowMs())
  }

  #excused(job: Job): boolean {
    if (job.process.paused || job.killed) return true
    return this.#nowMs() - (this.#heldUpMs.get(job.worker) ?? -Infinity) < wakeMs
  }

  get running(): number {
    return this.#jobs.size
  }

  jobBegan(job: Job): void {
    this.#jobs.add(job)
    let cpus = 0
    for (const other of this.#jobs) {
      if (other.worker === job.worker && other.ending === undefined && !other.killed && !other.process.dead)
        cpus += other.assign.cpus
    }
    const max = this.#cpus(job.worker)
    if (cpus > max) {
      this.#violations.found('no host runs more than it has', `${job.worker} has ${max} CPUs and runs for ${cpus}`)
    }
  }

  jobEnded(job: Job): void {
    this.#jobs.delete(job)
  }

  taskBegan(job: Job, task: number): void {
    const id = `${job.assign.run}/${task}`
    let jobs = this.#tasks.get(id)
    if (!jobs) this.#tasks.set(id, (jobs = new Set()))
    for (const other of jobs) {
      if (this.#excused(other)) {
        this.#count('task ran twice at once, excused')
        continue
      }
      const words = `${id} begins in ${job.assign.batch} on ${job.worker} while ${other.assign.batch} runs it on ${other.worker}`
      this.#violations.found('a task runs once at a time', words)
    }
    jobs.add(job)
  }

  taskEnded(job: Job, task: number): void {
    this.#tasks.get(`${job.assign.run}/${task}`)?.delete(job)
  }

  taskReported(job: Job, task: number, outcome: string): void {
    this.#outcomes.set(`${job.assign.token}/${task}`, outcome)
  }

  /** The log has this result: it must be what the batch's own worker said. */
  recorded(event: Extract<Event, { type: 'task.reported' }>): void {
    const token = this.#ledger.batches.get(event.batch)?.token
    for (const { task, outcome } of event.reports) {
      const said = this.#outcomes.get(`${token}/${task}`)
      if (said === outcome) continue
      const words = `${event.run}/${task} is recorded as ${outcome} in ${event.batch}, and ${event.worker} ${said === undefined ? 'said nothing of it' : `said ${said}`}`
      this.#violations.found("a result is its own worker's", words)
    }
  }

  /** What still runs although the log says that it is over, long after everything was mended. */
  leftOver(): string[] {
    const left: string[] = []
    for (const job of this.#jobs) {
      if (this.#ledger.batches.get(job.assign.batch)?.endedAt !== undefined)
        left.push(`${job.assign.batch} on ${job.worker}`)
    }
    return left
  }
}
