/**
 * What watchers of a run get: durable changes as they are committed, and live test events that pass
 * through without being stored. A watcher that can't keep up, and every watcher while the coordinator is
 * overloaded, has a coarse view: first without per-test messages and output, with totals once a second. It
 * is told so, and why. The ends of files are never left out; a watcher that doesn't take even those
 * is closed, and gets a whole snapshot when it watches again.
 */
import type { Event } from '../core/events.ts'
import type { Run, State } from '../core/state.ts'
import type { FeedMessage, RunningTask } from '../protocol/run-view.ts'
import type { Live } from '../protocol/worker-messages.ts'
import type { OverloadLimits } from './overload.ts'
import { countsOf, taskIsFinal } from './views.ts'

export interface Watcher {
  send(message: FeedMessage): void
  /** Bytes not yet taken by the other side. */
  readonly backlog: number
  /** Sends nothing more; whoever it is may watch again. */
  close(why: string): void
}

export type FeedSurroundings = {
  /** Of the log, that state reflects. */
  readonly position: () => number
  /** Why no more than necessary shall be sent; undefined: all may. */
  readonly strained: () => string | undefined
  readonly limits: Pick<OverloadLimits, 'watcherBytesFine' | 'watcherBytesMax'>
}

const runEveryMs = 100
const runCoarseEveryMs = 1000
/** A coarse view becomes complete again when so much less than its limit waits. */
const fineAgainPart = 0.1

type Watching = { readonly watcher: Watcher; coarse: boolean; ranAtMs: number }
type Channel = { readonly watchers: Set<Watching>; timer: NodeJS.Timeout | undefined }

export class Feed {
  readonly #state: State
  readonly #view: (run: Run) => import('../protocol/run-view.ts').RunView
  readonly #channels = new Map<string, Channel>()
  /** Unlogged messages that watchers did not get because they could not keep up. */
  dropped = 0
  /** When running tasks began, for watchers that come later; only for watched runs. */
  readonly #started = new Map<string, Map<number, RunningTask>>()

  readonly #onWatched: (run: string, on: boolean) => void
  readonly #surroundings: FeedSurroundings

  /** `onWatched`: a run has got its first watcher here, or lost its last. */
  constructor(
    state: State,
    view: (run: Run) => import('../protocol/run-view.ts').RunView,
    onWatched: (run: string, on: boolean) => void,
    surroundings: FeedSurroundings,
  ) {
    this.#surroundings = surroundings
    this.#state = state
    this.#view = view
    this.#onWatched = onWatched
  }

  get watchers(): number {
    let sum = 0
    for (const channel of this.#channels.values()) sum += channel.watchers.size
    return sum
  }

  /** Returns the function that ends it. */
  watch(run: Run, watcher: Watcher): () => void {
    let channel = this.#channels.get(run.id)
    if (!channel) {
      channel = { watchers: new Set(), timer: undefined }
      this.#channels.set(run.id, channel)
      this.#onWatched(run.id, true)
    }
    const watching: Watching = { watcher, coarse: false, ranAtMs: 0 }
    channel.watchers.add(watching)
    this.#greet(run, watcher)
    const own = channel
    return () => {
      if (!own.watchers.delete(watching)) return
      if (own.watchers.size === 0) {
        clearTimeout(own.timer)
        this.#channels.delete(run.id)
        this.#onWatched(run.id, false)
      }
    }
  }

  #greet(run: Run, watcher: Watcher): void {
    const position = this.#surroundings.position()
    watcher.send({ type: 'snapshot', run: this.#view(run), running: this.#running(run), position })
    if (run.state === 'finished') watcher.send({ type: 'end', run: this.#view(run), position })
  }

  /** State was read anew: every watcher is told the whole again. */
  reset(): void {
    this.#started.clear()
    for (const [id, channel] of this.#channels) {
      const run = this.#state.runs.get(id)
      if (run) for (const { watcher } of channel.watchers) this.#greet(run, watcher)
    }
  }

  #running(run: Run): RunningTask[] {
    const known = this.#started.get(run.id)
    const running: RunningTask[] = []
    for (const id of run.batches) {
      for (const index of this.#state.batches.get(id)!.tasks) {
        const one = known?.get(index)
        if (one && run.tasks[index]!.state === 'running') running.push(one)
      }
    }
    return running
  }

  /** Translates the events of one durable entry. */
  committed(events: readonly Event[], atMs: number): void {
    for (const event of events) {
      if (!('run' in event)) continue
      const run = this.#state.runs.get(event.run)
      if (!run) continue
      this.#event(run, event, atMs)
    }
  }

  #event(run: Run, event: Event, atMs: number): void {
    switch (event.type) {
      case 'task.started':
        this.#taskStarted(run, event.worker, event.tasks, atMs)
        break
      case 'task.requeued':
        this.#tasksOver(run, event.tasks, event.why, false)
        if (event.cause === 'lost' || event.cause === 'crashed' || event.cause === 'infrastructure')
          this.#notice(run, 'warning', this.#requeueWords(run, event))
        break
      case 'task.ended':
        this.#tasksOver(run, event.tasks, event.state === 'passed' ? undefined : event.why, true)
        break
      case 'run.errored':
        this.#notice(run, 'warning', event.message)
        break
      case 'run.paused':
        this.#notice(run, 'info', `paused by ${event.who}`)
        break
      case 'run.resumed':
        this.#notice(run, 'info', `resumed by ${event.who}`)
        break
      case 'run.cancelled':
        this.#notice(run, 'info', `cancelled: ${event.why}`)
        break
      case 'run.finished':
        this.#end(run)
        return
      default:
    }
    this.#touch(run)
  }

  #requeueWords(run: Run, event: Extract<Event, { type: 'task.requeued' }>): string {
    const first = run.tasks[event.tasks[0]!]!.file
    const which = event.tasks.length === 1 ? first : `${first} and ${event.tasks.length - 1} more`
    return `${which}: ${event.why}; running again`
  }

  #taskStarted(run: Run, worker: string, tasks: readonly number[], atMs: number): void {
    let known = this.#started.get(run.id)
    if (!known) {
      known = new Map()
      this.#started.set(run.id, known)
    }
    const workerName = run.workers.get(worker)?.name ?? worker
    const started = tasks.map((task) => ({ task, file: run.tasks[task]!.file, worker, workerName, startedAtMs: atMs }))
    for (const one of started) known.set(one.task, one)
    this.#send(run.id, { type: 'task-started', tasks: started })
  }

  #tasksOver(run: Run, tasks: readonly number[], why: string | undefined, final: boolean): void {
    const channel = this.#channels.get(run.id)
    const known = this.#started.get(run.id)
    for (const index of tasks) {
      const task = run.tasks[index]!
      const worker = known?.get(index)?.workerName
      known?.delete(index)
      if (!channel) continue
      const state = final || taskIsFinal(task) ? task.state : 'queued'
      const counts = final ? countsOf(task) : undefined
      this.#send(run.id, {
        type: 'task-ended',
        task: index,
        file: task.file,
        state,
        final,
        durationMs: task.durationMs,
        ...(why === undefined ? {} : { why }),
        ...(worker === undefined ? {} : { worker }),
        ...(counts === undefined ? {} : { counts }),
      })
    }
  }

  /** A worker's unlogged events. */
  live(run: Run, workerName: string, message: Live): void {
    const channel = this.#channels.get(run.id)
    if (!channel) return
    for (const test of message.tests) {
      const task = run.tasks[test.task]
      if (!task) continue
      const { task: index, name, project, flaky, durationMs, errors } = test
      const status = test.status as 'passed' | 'failed' | 'skipped' | 'todo'
      this.#send(
        run.id,
        {
          type: 'test',
          task: index,
          file: task.file,
          name,
          status,
          flaky: flaky === true,
          durationMs,
          worker: workerName,
          ...(project === undefined ? {} : { project }),
          ...(errors === undefined ? {} : { errors }),
        },
        true,
      )
    }
    if (message.output !== undefined) {
      this.#send(run.id, { type: 'output', batch: message.batch, worker: workerName, text: message.output }, true)
    }
  }

  #notice(run: Run, level: 'info' | 'warning', text: string): void {
    this.#send(run.id, { type: 'notice', level, text })
  }

  #touch(run: Run): void {
    const channel = this.#channels.get(run.id)
    if (!channel || channel.timer) return
    channel.timer = this.#runAfter(run, channel, runEveryMs)
  }

  #runAfter(run: Run, channel: Channel, afterMs: number): NodeJS.Timeout {
    const timer = setTimeout(() => {
      channel.timer = undefined
      if (run.state === 'finished') return
      this.#send(run.id, { type: 'run', run: this.#view(run), position: this.#surroundings.position() })
    }, afterMs)
    timer.unref()
    return timer
  }

  /** Tells every watcher how things stand, for what no event shows (queue positions). */
  refresh(run: Run): void {
    this.#touch(run)
  }

  #end(run: Run): void {
    const channel = this.#channels.get(run.id)
    this.#started.delete(run.id)
    if (!channel) return
    clearTimeout(channel.timer)
    channel.timer = undefined
    this.#send(run.id, { type: 'end', run: this.#view(run), position: this.#surroundings.position() })
  }

  /** `fine`: only for who has a complete view. */
  #send(run: string, message: FeedMessage, fine = false): void {
    const channel = this.#channels.get(run)
    if (!channel) return
    const strained = this.#surroundings.strained()
    const nowMs = performance.now()
    for (const watching of channel.watchers) {
      const { watcher } = watching
      this.#judge(watching, strained)
      if (watcher.backlog > this.#surroundings.limits.watcherBytesMax) {
        watcher.close('too much waits for this watcher; watch again')
        continue
      }
      const tooSoon = message.type === 'run' && nowMs - watching.ranAtMs < runCoarseEveryMs
      if (watching.coarse && (fine || tooSoon)) {
        this.dropped += 1
        if (tooSoon) this.#runLater(run)
        continue
      }
      if (message.type === 'run') watching.ranAtMs = nowMs
      watcher.send(message)
    }
  }

  #judge(watching: Watching, strained: string | undefined): void {
    const { watcher } = watching
    const { watcherBytesFine } = this.#surroundings.limits
    const slow = watcher.backlog > watcherBytesFine * (watching.coarse ? fineAgainPart : 1)
    const coarse = slow || strained !== undefined
    if (coarse === watching.coarse) return
    watching.coarse = coarse
    const why = strained ?? 'the connection is slower than the run'
    const text = coarse ? `the live view is coarse: ${why}` : 'the live view is complete again'
    watcher.send({ type: 'notice', level: 'info', text })
  }

  /** A watcher that was left out gets the newest totals also when nothing more happens. */
  #runLater(id: string): void {
    const run = this.#state.runs.get(id)
    const channel = this.#channels.get(id)
    if (!run || !channel || channel.timer) return
    channel.timer = this.#runAfter(run, channel, runCoarseEveryMs)
  }
}
