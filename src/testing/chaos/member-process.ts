/**
 * A process of the cluster under test: started on its host, killed, frozen, ended and started again.
 * What it says goes through a pipe into a file that this process writes, so that a disk that is full for
 * it is not full for its words. It dies with this process. An end that nobody asked for is remembered.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createWriteStream, readdirSync, readFileSync, type WriteStream } from 'node:fs'

export type MemberProcessOptions = {
  readonly name: string
  readonly argv: readonly string[]
  /** What to put before it, so that it runs on its host. */
  readonly enter: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** File for its words. */
  readonly words: string
  /** It says this once it serves; what ends before has not been able to start, and is started again. */
  readonly serves?: RegExp
}

/** As a supervisor would: what ended by itself is started again after this. */
const againMs = 1000

/** Writes beyond a limit fail, instead of ending the process. */
const ignoreLimit = ['sh', '-c', `trap '' XFSZ; exec "$@"`, 'sh']
const dieWithParent = ['setpriv', '--pdeathsig', 'KILL', '--']

export class MemberProcess {
  readonly name: string
  readonly #options: MemberProcessOptions
  readonly #words: WriteStream
  #child: ChildProcess | undefined
  #gone: Promise<void> = Promise.resolve()
  #asked = false
  #closed = false
  #said = ''
  #hear: () => void = () => undefined
  /** Ends that nobody asked for, for people. */
  readonly deaths: string[] = []

  constructor(options: MemberProcessOptions) {
    this.name = options.name
    this.#options = options
    this.#words = createWriteStream(options.words, { flags: 'a' })
  }

  get running(): boolean {
    return this.#child !== undefined
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`${this.name} is not running`)
    return this.#child.pid
  }

  start(): void {
    if (this.#closed) return
    const { enter, argv, cwd, env } = this.#options
    const [program = '', ...args] = [...enter, ...dieWithParent, ...ignoreLimit, ...argv]
    this.#asked = false
    this.#said = ''
    this.#words.write(`---- started at ${new Date().toISOString()}\n`)
    const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#words.write(text)
        // Only the beginning is waited for.
        if (this.#said.length < 100_000) this.#said += text
        this.#hear()
      })
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#gone = promise
    child.once('error', (error) => {
      this.deaths.push(`${this.name} could not be started: ${error.message}`)
      this.#child = undefined
      resolve()
    })
    child.once('exit', (code, signal) => {
      this.#words.write(`---- ended with ${signal ?? code} at ${new Date().toISOString()}\n`)
      if (this.#child === child) this.#child = undefined
      if (!this.#asked) {
        if (this.#options.serves?.test(this.#said) !== false) {
          this.deaths.push(`${this.name} ended by itself (${signal ?? code})`)
        }
        setTimeout(() => {
          if (!this.running) this.start()
        }, againMs)
      }
      this.#hear()
      resolve()
    })
  }

  /** Since its last start. */
  async says(pattern: RegExp, withinMs: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const last = () => this.#said.split('\n').slice(-12).join('\n')
      const timer = setTimeout(() => reject(new Error(`${this.name} did not say ${pattern}:\n${last()}`)), withinMs)
      this.#hear = () => {
        if (pattern.test(this.#said)) resolve()
        else if (this.#child) return
        else reject(new Error(`${this.name} ended without ${pattern}:\n${last()}`))
        this.#hear = () => undefined
        clearTimeout(timer)
      }
      this.#hear()
    })
  }

  /** SIGKILL; `tree`: and whatever it has started, all at one moment. */
  async kill(tree = false): Promise<void> {
    if (!this.#child) return
    this.#asked = true
    const pids = tree ? this.tree() : [this.pid]
    if (tree) for (const pid of pids) signal(pid, 'SIGSTOP')
    for (const pid of pids) signal(pid, 'SIGKILL')
    await this.#gone
  }

  /** Returns the way back. */
  freeze(tree = false): () => void {
    const pids = tree ? this.tree() : [this.pid]
    for (const pid of pids) signal(pid, 'SIGSTOP')
    return () => {
      for (const pid of pids) signal(pid, 'SIGCONT')
    }
  }

  /** SIGTERM, and SIGKILL when that isn't enough. Resolves to whether it was. */
  async terminate(withinMs: number): Promise<boolean> {
    if (!this.#child) return true
    this.#asked = true
    signal(this.pid, 'SIGCONT')
    signal(this.pid, 'SIGTERM')
    const timer = Promise.withResolvers<'late'>()
    const handle = setTimeout(() => timer.resolve('late'), withinMs)
    const late = (await Promise.race([this.#gone, timer.promise])) === 'late'
    clearTimeout(handle)
    if (late) await this.kill(true)
    return !late
  }

  /** This process and all that came from it. */
  tree(): number[] {
    const children = new Map<number, number[]>()
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue
      const parent = parentOf(Number(name))
      if (parent === undefined) continue
      const known = children.get(parent)
      if (known) known.push(Number(name))
      else children.set(parent, [Number(name)])
    }
    const found = [this.pid]
    for (const pid of found) found.push(...(children.get(pid) ?? []))
    return found
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.kill(true)
    await new Promise<void>((resolve) => this.#words.end(resolve))
  }
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    // It ended meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
