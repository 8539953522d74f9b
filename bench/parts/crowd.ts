/** Thousands of scripted workers, in two processes. `await using` it. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import type { CrowdOptions, FromCrowd, ToCrowd } from './crowd-process.ts'

type Counted = Extract<FromCrowd, { type: 'counted' }>

const processes = 2
const program = path.join(import.meta.dirname, 'crowd-process.ts')

export class Crowd implements AsyncDisposable {
  readonly #children: readonly ChildProcess[]

  constructor({ count, ...options }: Omit<CrowdOptions, 'first'>) {
    const each = Math.ceil(count / processes)
    this.#children = Array.from({ length: processes }, (_, at) => {
      const part: CrowdOptions = { ...options, first: at * each, count: Math.min(each, count - at * each) }
      return fork(program, [JSON.stringify(part)])
    })
  }

  /** Resolves when everybody is welcomed. */
  connect(): Promise<void> {
    return this.#all({ type: 'connect' })
  }

  /** Resolves when everybody has been welcomed once more. */
  welcomedAgain(): Promise<void> {
    return this.#all({ type: 'mark' })
  }

  async #all(message: ToCrowd): Promise<void> {
    await Promise.all(this.#children.map((child) => answerOf(child, message, 'welcomed')))
  }

  /** Sums over all of them. */
  async count(): Promise<Omit<Counted, 'type'>> {
    const each = await Promise.all(this.#children.map((child) => answerOf(child, { type: 'count' }, 'counted')))
    const sum = (what: keyof Omit<Counted, 'type'>) => each.reduce((all, one) => all + (one as Counted)[what], 0)
    return {
      connected: sum('connected'),
      beats: sum('beats'),
      heartbeats: sum('heartbeats'),
      reconnects: sum('reconnects'),
      assigned: sum('assigned'),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const exited = once(child, 'exit')
        child.kill('SIGKILL')
        await exited
      }),
    )
  }
}

function answerOf(child: ChildProcess, message: ToCrowd, type: FromCrowd['type']): Promise<FromCrowd> {
  return new Promise((resolve, reject) => {
    const hear = (answer: FromCrowd): void => {
      if (answer.type !== type) return
      child.off('message', hear)
      child.off('exit', gone)
      resolve(answer)
    }
    const gone = (code: number | null): void => reject(new Error(`the crowd ended with ${code}`))
    child.on('message', hear).once('exit', gone)
    child.send(message)
  })
}
