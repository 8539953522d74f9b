/** Flags of `muster run` about needs, order and deadlines; each error names the flag, what was expected and what came. */
import { MusterError } from '../protocol/errors.ts'
import { expressionFault } from '../protocol/expression-fault.ts'
import { deadlineAtMs } from '../protocol/deadline.ts'
import { priorityNames, priorityOf } from '../protocol/priority.ts'
import type { SubmitBody } from '../protocol/api.ts'
import { lockOf } from '../runners/file-comments.ts'
import { lockNameMax, type LockText, type Requires } from '../runners/requires.ts'
import { parseBytes } from '../stdx/bytes.ts'
import { plainText } from '../stdx/plain-text.ts'
import { labelsOf } from './flags.ts'
import { parseClock } from '../stdx/instant.ts'

export type NeedFlags = {
  /** Expressions, all of which must hold. */
  readonly require?: readonly string[]
  readonly lock?: readonly string[]
  readonly gpus?: number
  readonly memory?: string
  readonly deadline?: string
  readonly admission?: string
  readonly after?: readonly string[]
  /** Whom it is submitted for. */
  readonly user?: string
  readonly priority?: string | number
}

export function requiresOf({ require = [], lock = [], gpus, memory }: NeedFlags): Requires {
  for (const text of require) {
    const fault = expressionFault(text)
    if (fault !== undefined) throw new MusterError('usage', `--require: ${fault}`)
  }
  if (memory !== undefined && !parseBytes(memory))
    throw new MusterError('usage', `--memory: expected an amount such as 8GiB, received '${memory}'`)
  const locks = lock.map(lockFlag)
  const names = locks.map((one) => (typeof one === 'string' ? one : one.name))
  const long = names.find((name) => name.length > lockNameMax)
  if (long !== undefined)
    throw new MusterError(
      'usage',
      `--lock: expected a name of at most ${lockNameMax} characters, received ${long.length}`,
    )
  const twice = names.find((name, at) => names.indexOf(name) < at)
  if (twice !== undefined)
    throw new MusterError('usage', `--lock: expected each lock once, received '${plainText(twice)}' twice`)
  return {
    ...(require.length === 0 ? {} : { where: joined(require) }),
    ...(locks.length === 0 ? {} : { locks }),
    ...(gpus === undefined ? {} : { gpus }),
    ...(memory === undefined ? {} : { memory }),
  }
}

/** Before anything is listed or started. */
export function checkNeedFlags(flags: NeedFlags & { readonly label?: readonly string[] }): void {
  requiresOf(flags)
  labelsOf(flags.label ?? [])
  priorityFlag(flags.priority)
  deadlineFlag(flags.deadline)
  admissionFlag(flags.admission)
  afterFlag(flags.after)
}

function joined(expressions: readonly string[]): string {
  return expressions.length === 1 ? expressions[0]! : expressions.map((one) => `(${one})`).join(' and ')
}

/** `NAME`, `NAME:shared`, or `NAME:N` for N holders at most. */
function lockFlag(text: string): LockText {
  const colon = text.lastIndexOf(':')
  const name = colon < 0 ? text : text.slice(0, colon)
  const lock =
    name.trim() === '' || /\p{Cc}/u.test(name) ? undefined : lockOf(name, colon < 0 ? undefined : text.slice(colon + 1))
  if (lock !== undefined) return lock
  throw new MusterError('usage', `--lock: expected NAME, NAME:shared or NAME:N, received '${plainText(text)}'`)
}

export function priorityFlag(given: string | number | undefined): number | undefined {
  if (given === undefined) return undefined
  const priority = priorityOf(given)
  if (priority !== undefined) return priority
  const names = Object.keys(priorityNames).join(', ')
  const expected = `${names} or a whole number from -1000 to 1000`
  throw new MusterError('usage', `--priority: expected ${expected}, received '${given}'`)
}

/** `20m` stays as it is, so that the coordinator's clock counts; `14:00` is the next time that it is so here. */
export function deadlineFlag(text: string | undefined, now = new Date()): string | undefined {
  if (text === undefined) return undefined
  const clockMs = parseClock(text, now, 'next')
  if (clockMs !== undefined) return new Date(clockMs).toISOString()
  if (deadlineAtMs(text, now.getTime()) !== undefined) return text
  const expected = 'a duration such as 20m, a time such as 14:00, or one with its zone: 2026-11-22T14:00:00Z'
  throw new MusterError('usage', `--deadline: expected ${expected}, received '${text}'`)
}

export function admissionFlag(text: string | undefined): 'warn' | 'refuse' | undefined {
  if (text === undefined || text === 'warn' || text === 'refuse') return text
  throw new MusterError('usage', `--admission: expected warn or refuse, received '${text}'`)
}

/** `RUN`, or `RUN:finished` to go on however it ends. */
export function afterFlag(given: readonly string[] = []): NonNullable<SubmitBody['after']> {
  return given.map((text) => {
    const match = /^([^:]+)(?::(passed|finished))?$/.exec(text)
    if (!match) throw new MusterError('usage', `--after: expected RUN or RUN:finished, received '${text}'`)
    return { run: match[1]!, when: match[2] === 'finished' ? 'finished' : 'passed' }
  })
}
