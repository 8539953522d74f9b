/**
 * What a run does when no coordinator can take it: fail and say why, or, with `--fallback local`, be made
 * on this host by a coordinator of its own. That decision is taken once per run and never taken back.
 */
import { isMusterError, MusterError } from '../protocol/errors.ts'
import type { ErrorCode } from '../protocol/errors.ts'
import { connect, embedded, serverOf, type Connection, type Where } from './connect.ts'
import { persist, type Patience } from './persist.ts'

const words = ['none', 'local', 'local-when-busy'] as const
export type Fallback = (typeof words)[number]

/** From --fallback, else MUSTER_FALLBACK, else the configuration. */
export function fallbackOf(flag: string | undefined, configured: Fallback | undefined): Fallback {
  const given = flag ?? (process.env['MUSTER_FALLBACK'] || undefined)
  if (given === undefined) return configured ?? 'none'
  const known = words.find((word) => word === given)
  if (known !== undefined) return known
  const where = flag === undefined ? 'MUSTER_FALLBACK' : '--fallback'
  throw new MusterError('usage', `${where}: expected ${words.join(', ')}, received '${given}'`)
}

const away: readonly ErrorCode[] = ['coordinator_unreachable', 'unavailable', 'log_failed', 'disk_full']

/** Why the run shall be made here, or undefined when the error is to be shown as it is. */
export function whyLocal(error: unknown, fallback: Fallback): string | undefined {
  if (fallback === 'none' || !isMusterError(error)) return undefined
  const covered = away.includes(error.code) || (fallback === 'local-when-busy' && error.code === 'overloaded')
  return covered ? error.message : undefined
}

/** The coordinator of a command's runs: the one that was asked for or, once that has failed, a local one. */
export class RunCoordinator implements AsyncDisposable {
  readonly #say: (text: string) => void
  readonly #embedded: boolean
  readonly #asked: Promise<Connection>
  #local: Promise<Connection> | undefined
  #opened: Connection | undefined
  /** `none` until the configuration is known, unless flag or environment say otherwise. */
  fallback: Fallback
  /** Why it is the local one; undefined while it isn't. */
  why: string | undefined

  constructor(where: Where, fallback: Fallback, say: (text: string) => void) {
    this.#say = say
    this.fallback = fallback
    this.#embedded = where.embedded === true && serverOf(where) === undefined
    this.#asked = connect(where)
    this.#asked.catch(() => undefined)
  }

  get connection(): Promise<Connection> {
    return this.#local ?? this.#asked
  }

  /** As `persist`, and when patience ends the local coordinator is asked, if it may be. */
  async ask<T>(
    patience: (connection: Connection) => Patience,
    ask: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    const before = this.#local
    try {
      const connection = await this.connection
      return await persist(connection, patience(connection), () => ask(connection))
    } catch (error) {
      const why = before === undefined ? whyLocal(error, this.fallback) : undefined
      if (why === undefined) throw error
      const connection = await this.goLocal(why)
      return await persist(connection, patience(connection), () => ask(connection))
    }
  }

  goLocal(why: string): Promise<Connection> {
    this.why ??= why
    this.#local ??= (async () => {
      this.#say(`muster: ${this.why}`)
      this.#say('muster: running on this host instead, without a coordinator (--fallback local)')
      this.#opened = await embedded(this.#say)
      return this.#opened
    })()
    return this.#local
  }

  /** It is the local one that stands in for the one that was asked for. */
  isLocal(connection: Connection): boolean {
    return connection === this.#opened
  }

  /** Ends a coordinator that lives in this process; one elsewhere, or still awaited, is left alone. */
  async endOwn(): Promise<void> {
    const connection = await (this.#local ?? (this.#embedded ? this.#asked : undefined))?.catch(() => undefined)
    await connection?.[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opening of [this.#local, this.#asked]) {
      // One that never opened has nothing to close; its error has been shown.
      const connection = await opening?.catch(() => undefined)
      await connection?.[Symbol.asyncDispose]()
    }
  }
}
