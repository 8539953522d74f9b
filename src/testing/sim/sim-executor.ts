/**
 * The executor of a simulated worker and the processes it starts. The processes are children of the
 * worker: they go on while the worker is paused, and are ended by its reaper when it dies. What they
 * bring about reaches the worker as messages of its executor thread, which needs the worker awake.
 */
import type { Assign, Ended } from '../../protocol/worker-messages.ts'
import { isSlow, outcomeOf } from './oracle.ts'
import type { SimProcess } from './process.ts'
import type { Random } from './random.ts'
import type { Timeline } from './timeline.ts'
import type { WorkerProtocol } from '../../worker/protocol.ts'

/** What really happens on a host, whatever anybody reports. */
export interface Physical {
  /** Which try of the task this is; undefined when no such batch was ever assigned. */
  attemptOf(assign: Assign, task: number): number | undefined
  /** Whether its framework can be started here and now. */
  starts(assign: Assign): boolean
  jobBegan(job: Job): void
  jobEnded(job: Job): void
  taskBegan(job: Job, task: number): void
  taskEnded(job: Job, task: number): void
  /** Its framework said how it went. */
  taskReported(job: Job, task: number, outcome: string): void
}

export type Job = {
  readonly worker: string
  readonly process: SimProcess
  readonly assign: Assign
  readonly waiting: number[]
  readonly running: Map<number, { forget: () => void }>
  readonly reported: Set<number>
  state: 'starting' | 'running' | 'gone'
  /** It is being ended: whatever it says from now on is no verdict. */
  ending: { readonly reason: 'cancelled' | 'fenced'; readonly why: string } | 'abandoned' | undefined
  timedOut: number | undefined
  unstartable: boolean
  /** Sent SIGKILL: it runs for milliseconds more, and nothing it does counts. */
  killed: boolean
  /** The executor that started it is still there to tell. */
  attended: boolean
  begunMs: number | undefined
  readonly sinceMs: number
  killedAtMs: number
}

type Exit = { readonly exitCode: number | null; readonly signal: string | null }

export class SimExecutor {
  readonly #process: SimProcess
  readonly #worker: string
  readonly #timeline: Timeline
  readonly #random: Random
  readonly #physical: Physical
  readonly #protocol: () => WorkerProtocol
  readonly jobs = new Map<string, Job>()
  #toldUs = 0

  constructor(
    worker: string,
    process: SimProcess,
    timeline: Timeline,
    random: Random,
    physical: Physical,
    protocol: () => WorkerProtocol,
  ) {
    this.#worker = worker
    this.#process = process
    this.#timeline = timeline
    this.#random = random
    this.#physical = physical
    this.#protocol = protocol
  }

  /** The thread's word to the worker: in order, as messages between threads are. */
  #tell(call: (protocol: WorkerProtocol) => void): void {
    this.#toldUs = Math.max(this.#toldUs, this.#timeline.nowUs + this.#random.int(50, 1200))
    this.#timeline.at(this.#toldUs, () => this.#process.enter(() => call(this.#protocol())))
  }

  start(assign: Assign): void {
    const job: Job = {
      worker: this.#worker,
      process: this.#process,
      assign,
      waiting: [...assign.tasks],
      running: new Map(),
      reported: new Set(),
      state: 'starting',
      ending: undefined,
      timedOut: undefined,
      unstartable: false,
      killed: false,
      attended: true,
      begunMs: undefined,
      sinceMs: this.#timeline.nowMs,
      killedAtMs: Infinity,
    }
    this.jobs.set(assign.batch, job)
    this.#physical.jobBegan(job)
    this.#timeline.after(this.#random.delay(5, 40, 300), () => {
      if (job.state !== 'starting') return
      if (!this.#physical.starts(assign)) {
        job.unstartable = true
        return this.#exit(job, { exitCode: 127, signal: null })
      }
      job.state = 'running'
      for (let slot = 0; slot < assign.cpus; slot += 1) this.#next(job)
    })
  }

  #next(job: Job): void {
    if (job.state !== 'running') return
    const task = job.waiting.shift()
    if (task === undefined) {
      if (job.running.size === 0) this.#exit(job, { exitCode: 0, signal: null })
      return
    }
    const { assign } = job
    const file = assign.files[assign.tasks.indexOf(task)]!
    const attempt = this.#physical.attemptOf(assign, task) ?? 1
    const outcome = outcomeOf(file, attempt)
    job.begunMs ??= this.#timeline.nowMs
    this.#physical.taskBegan(job, task)
    this.#report(job, 'started', [task], { type: 'started', tasks: [task] })
    const workMs = isSlow(file) ? this.#random.delay(300, 400, 2500) : this.#random.delay(5, 60, 600)
    const forget = this.#timeline.after(outcome === 'hang' ? assign.taskTimeoutMs : workMs, () => {
      if (job.state !== 'running') return
      if (outcome === 'hang') return this.#outOfTime(job, task)
      if (outcome === 'crash') return this.#exit(job, { exitCode: null, signal: 'SIGSEGV' })
      job.running.delete(task)
      job.reported.add(task)
      this.#physical.taskEnded(job, task)
      this.#physical.taskReported(job, task, outcome)
      const plain = [[task, outcome, Math.round(workMs)]]
      this.#report(job, 'reported', [task], { type: 'reported', results: [], plain })
      this.#next(job)
    })
    job.running.set(task, { forget })
  }

  /** The thread sees to it, when it is awake: the process is told to end. */
  #outOfTime(job: Job, task: number): void {
    this.#tell(() => {
      if (job.state !== 'running' || job.ending !== undefined) return
      job.timedOut = task
      this.terminate(job.assign.batch, 1000)
    })
  }

  #report(job: Job, kind: 'started' | 'reported' | 'ended', tasks: number[], message: Record<string, unknown>): void {
    const { batch, token } = job.assign
    const frozen = kind !== 'ended' && (job.ending !== undefined || job.timedOut !== undefined)
    if (frozen) return
    this.#tell((protocol) => {
      if (!job.attended || (kind !== 'ended' && job.ending !== undefined)) return
      protocol.reported(kind, batch, JSON.stringify({ ...message, batch, token }), tasks)
    })
  }

  end(batch: string, reason: 'cancelled' | 'fenced', why: string): void {
    const job = this.jobs.get(batch)
    if (job) job.ending ??= { reason, why }
  }

  abandon(batch: string): void {
    const job = this.jobs.get(batch)
    if (job) job.ending = 'abandoned'
  }

  terminate(batch: string, graceMs: number): void {
    const job = this.jobs.get(batch)
    if (!job || job.state === 'gone') return
    // Most end when they are told to; some have to be made to.
    const politeMs = this.#random.chance(0.8) ? this.#random.unit() * 30 : Infinity
    this.#endWithin(job, Math.min(politeMs, graceMs))
  }

  kill(batch: string): void {
    const job = this.jobs.get(batch)
    if (!job) return
    job.killed = true
    this.#endWithin(job, 1 + this.#random.unit() * 3)
  }

  #endWithin(job: Job, delayMs: number): void {
    const atMs = this.#timeline.nowMs + delayMs
    if (atMs >= job.killedAtMs) return
    job.killedAtMs = atMs
    this.#timeline.after(delayMs, () => this.#exit(job, { exitCode: null, signal: 'SIGKILL' }))
  }

  #exit(job: Job, exit: Exit): void {
    if (job.state === 'gone') return
    job.state = 'gone'
    const interrupted = [...job.running.keys()]
    for (const [task, { forget }] of job.running) {
      forget()
      this.#physical.taskEnded(job, task)
    }
    job.running.clear()
    this.#physical.jobEnded(job)
    if (!job.attended) this.jobs.delete(job.assign.batch)
    this.#tell((protocol) => {
      if (!job.attended) return
      this.jobs.delete(job.assign.batch)
      if (job.ending === 'abandoned') return protocol.abandoned(job.assign.batch)
      const ended = this.#endOf(job, exit, interrupted)
      protocol.reported('ended', job.assign.batch, JSON.stringify(ended), [])
    })
  }

  #endOf(job: Job, exit: Exit, interrupted: number[]): Omit<Ended, 'seq'> {
    const { batch, token, tasks } = job.assign
    const ending = job.ending === 'abandoned' ? undefined : job.ending
    const complete = tasks.every((task) => job.reported.has(task))
    const natural = job.unstartable ? 'failed-to-start' : complete ? 'completed' : 'crashed'
    const reason = job.timedOut !== undefined ? 'timed-out' : (ending?.reason ?? natural)
    return {
      type: 'ended',
      batch,
      token,
      reason,
      ...exit,
      startupMs: job.begunMs === undefined ? null : job.begunMs - job.sinceMs,
      wallMs: this.#timeline.nowMs - job.sinceMs,
      interrupted,
      timedOut: job.timedOut === undefined ? [] : interrupted.filter((task) => task === job.timedOut),
      errors: [],
      usage: { cpuMs: 1, memoryBytesMax: 1_000_000 },
      ...(ending === undefined ? {} : { message: ending.why }),
    }
  }

  /** While nothing runs: a new one is there at once. */
  recycle(): void {
    this.#timeline.after(this.#random.delay(20, 100, 1000), () => this.#tell((protocol) => protocol.recycled()))
  }

  /** The thread dies. Its processes are the worker's to end; a new thread knows nothing of them. */
  crash(): void {
    for (const job of this.jobs.values()) job.attended = false
    this.#tell((protocol) => {
      // Those that were started after the crash are the new thread's own.
      const orphans = [...this.jobs.values()].filter((job) => !job.attended)
      protocol.executorDied('died')
      for (const job of orphans) if (job.state === 'gone') this.jobs.delete(job.assign.batch)
    })
  }

  /** The worker's process is gone: its reaper ends what it left. */
  reap(): void {
    for (const job of this.jobs.values()) {
      job.attended = false
      this.#endWithin(job, this.#random.unit() * 50)
    }
  }
}
