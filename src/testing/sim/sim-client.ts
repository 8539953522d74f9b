/**
 * A client: asks any coordinator, and asks another when it gets no answer. It repeats only what may be
 * repeated (its submissions carry a key), remembers the highest position it was told, and says so when
 * it reads.
 */
import { plainSpec } from '../../core/transcript.ts'
import type { RunSpec } from '../../core/entities.ts'
import type { Input } from '../../core/input.ts'
import { askedBy } from './asks.ts'
import type { Checker } from './checker.ts'
import type { Network } from './network.ts'
import { fileOf } from './oracle.ts'
import type { Order, TaskKind } from './plan.ts'
import type { SimProcess } from './process.ts'
import type { Random } from './random.ts'

export type ClientCall =
  | { readonly type: 'input'; readonly input: Input }
  | { readonly type: 'read'; readonly run: string; readonly position: number }
export type ClientAnswer =
  | { readonly type: 'ok'; readonly position: number }
  | { readonly type: 'refused'; readonly code: string }
  | { readonly type: 'unavailable' }
  | { readonly type: 'read'; readonly position: number; readonly digest: string }

export type ClientOptions = {
  readonly process: SimProcess
  readonly addresses: readonly string[]
  readonly network: Network
  readonly random: Random
  readonly checker: Checker
  readonly count: (what: string) => void
  readonly trace: (words: () => string) => void
  /** Ids of the worker processes of a host. */
  readonly workerOf: (index: number) => string | undefined
}

const answerMs = 2500
/** How often it asks again for what is refused for now. */
const askAgainMax = 8
export const taskTimeoutMs = 1200

export class SimClient {
  readonly #options: ClientOptions
  /** The highest position it was told. */
  #position = 0
  /** Submissions whose fate isn't known yet. */
  readonly open = new Set<string>()
  readonly #extended = new Map<string, number>()

  constructor(options: ClientOptions) {
    this.#options = options
  }

  do(order: Order): void {
    this.#options.process.enter(() => {
      if (order.type === 'read') return this.#read(order.run)
      const input = this.#inputOf(order)
      if (!input) return
      if (input.type === 'submit') this.open.add(input.run)
      this.#ask(input, this.#options.network.timeline.events, 0)
    })
  }

  #inputOf(order: Exclude<Order, { type: 'read' }>): Input | undefined {
    const { run } = order
    const who = `client:u${order.client}`
    switch (order.type) {
      case 'submit': {
        const { retries, maxFailures, open } = order
        const spec: RunSpec = {
          ...plainSpec,
          retries,
          maxFailures,
          open,
          taskTimeoutMs,
          ...(order.cpus > 0 ? { cpus: order.cpus } : {}),
          suite: order.broken ? 'broken' : 'unit',
          ...(order.project === undefined ? {} : { project: order.project }),
          retry: {
            ...(order.backoffMs > 0 ? { failed: { backoffMs: order.backoffMs } } : {}),
            ...(order.elsewhere ? { crashed: { where: 'other-worker' }, lost: { where: 'other-host', max: 4 } } : {}),
          },
        }
        const input = { type: 'submit', run, who, key: `key-${run}`, ...filesOf(order.tasks, 0) } as const
        const after = order.after === undefined ? {} : { after: [{ run: order.after, when: 'passed' as const }] }
        if (order.asks === undefined) return { ...input, spec: { ...spec, ...after } }
        const { needs, kinds, dependencies } = askedBy(order.asks, order.tasks.length)
        return { ...input, spec: { ...spec, ...after, needs }, kinds, dependencies }
      }
      case 'extend': {
        const first = this.#extended.get(run) ?? 100
        this.#extended.set(run, first + order.tasks.length)
        return { type: 'extend', run, who, ...filesOf(order.tasks, first) }
      }
      case 'pause':
        return { type: 'pause', run, who, why: 'asked' }
      case 'cancel':
        return { type: 'cancel', run, who, why: 'asked', drain: order.drain }
      case 'prioritise':
        return { type: 'prioritise', run, who, priority: order.priority }
      case 'choose': {
        const { strategy, project } = order
        const what = { ...(strategy === undefined ? {} : { strategy }), ...(project === undefined ? {} : { project }) }
        return { type: 'choose-scheduler', who, ...what }
      }
      case 'drain': {
        const worker = this.#options.workerOf(order.worker)
        return worker === undefined ? undefined : { type: 'drain', worker, who, why: 'asked' }
      }
      default:
        return { type: order.type, run, who }
    }
  }

  #ask(input: Input, invokedAt: number, tries: number): void {
    const { checker, network, trace, count } = this.#options
    this.#call({ type: 'input', input }, (answer, coordinator) => {
      const what = `${input.type}${'run' in input ? ` ${input.run}` : ''}`
      trace(() => `${what} at ${coordinator}: ${JSON.stringify(answer ?? 'no answer')}`)
      if (answer?.type === 'ok') {
        this.#position = Math.max(this.#position, answer.position)
        if (input.type === 'submit') this.open.delete(input.run)
        return checker.acknowledged(input, answer.position, invokedAt, network.timeline.events)
      }
      // Needs and schedulers are taken once every coordinator can read them; some may be of the old version for long.
      const waits = input.type === 'submit' || input.type === 'choose-scheduler'
      const early = answer?.type === 'refused' && waits && answer.code === 'conflict'
      if (answer?.type === 'refused' && !(early && tries < askAgainMax)) {
        if (input.type === 'submit') this.open.delete(input.run)
        return
      }
      count('client asks again')
      // More tasks a second time would be more tasks.
      if (input.type === 'extend') return
      this.#options.process.clock.after(Math.min(50 * 2 ** tries, 800), () => this.#ask(input, invokedAt, tries + 1))
    })
  }

  #read(run: string): void {
    const position = this.#position
    this.#call({ type: 'read', run, position }, (answer, coordinator) => {
      if (answer?.type !== 'read') return
      this.#options.trace(() => `reads ${run} from ${coordinator} at ${answer.position}: ${answer.digest}`)
      this.#options.checker.read(coordinator, run, position, answer.position, answer.digest)
      this.#position = Math.max(this.#position, answer.position)
    })
  }

  #call(call: ClientCall, done: (answer: ClientAnswer | undefined, coordinator: string) => void): void {
    const { network, process, random, addresses } = this.#options
    const coordinator = random.pick(addresses)
    let over = false
    const end = (answer: ClientAnswer | undefined): void => {
      if (over) return
      over = true
      forget()
      connection.close()
      done(answer, coordinator)
    }
    const connection = network.dial(process, `${coordinator}/client`, {
      opened: () => connection.send(call),
      message: (answer) => end(answer as ClientAnswer),
      closed: () => end(undefined),
    })
    const forget = process.clock.after(answerMs, () => end(undefined))
  }
}

function filesOf(kinds: readonly TaskKind[], first: number): { files: string[]; estimates: (number | null)[] } {
  return {
    files: kinds.map((kind, index) => fileOf(first + index, kind)),
    estimates: kinds.map((_, index) => (index % 3 === 0 ? null : 50 + 10 * index)),
  }
}
