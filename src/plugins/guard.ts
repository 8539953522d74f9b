/**
 * Calls code of a plugin so that it can neither throw nor hang: what it throws is returned as words, and what takes too long
 * is ended in the middle. Synchronous code on this thread can be ended by V8 alone. Both ways that Node offers are here:
 * `Runtime.evaluate` of an in-process inspector session (its timer is one entry of a list: about 20 µs a call), and
 * `vm.Script` with a timeout (it starts a thread for every call: about 120 µs), for a Node without an inspector.
 *
 * Neither holds what the plugin does later (timers, promises), or how much memory it takes.
 */
import { Script } from 'node:vm'

export type Guarded<Value> =
  | { readonly type: 'ok'; readonly value: Value }
  | { readonly type: 'threw'; readonly why: string }
  | { readonly type: 'late' }

/** What a host measures and ends a plugin's code with; the simulator has one of its own, whose time is made up. */
export type Guard = {
  readonly nowMs: () => number
  readonly call: <Value>(call: () => Value, timeoutMs: number) => Guarded<Value>
}

/** Runs what `pending` holds; false: it was ended because its time was over. */
type Runner = (timeoutMs: number) => boolean

let pending: () => void = () => undefined
const name = '__musterGuardedCall'
Object.defineProperty(globalThis, name, { value: () => pending() })

let runner: Runner | undefined

async function inspectorRunner(): Promise<Runner> {
  const { Session } = await import('node:inspector')
  const session = new Session()
  session.connect()
  return (timeout) => {
    let failed = false
    // Answers before it returns: the session is on this very thread.
    session.post(
      'Runtime.evaluate',
      { expression: `${name}()`, timeout, silent: true, returnByValue: true },
      (error) => {
        failed = error !== null
      },
    )
    return !failed
  }
}

function scriptRunner(): Runner {
  const script = new Script(`${name}()`)
  return (timeout) => {
    try {
      script.runInThisContext({ timeout })
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return false
      throw error
    }
  }
}

/** Chooses the cheaper way where there is one; called while plugins are loaded. */
export async function prepareGuard(way: 'inspector' | 'script' = 'inspector'): Promise<void> {
  runner = way === 'script' || !process.features.inspector ? scriptRunner() : await inspectorRunner()
}

/** `call` must make what it returns of plain values: getters of a plugin's objects are a plugin's code, too. */
export function guarded<Value>(call: () => Value, timeoutMs: number): Guarded<Value> {
  runner ??= scriptRunner()
  let outcome: Guarded<Value> = { type: 'late' }
  const before = pending
  pending = () => {
    try {
      outcome = { type: 'ok', value: call() }
    } catch (error) {
      outcome = { type: 'threw', why: wordsOf(error) }
    }
  }
  try {
    return runner(Math.max(1, Math.ceil(timeoutMs))) ? outcome : { type: 'late' }
  } finally {
    pending = before
  }
}

const wordsMax = 500

/** That of this thread. */
export const threadGuard: Guard = { nowMs: () => performance.now(), call: guarded }

/** In here, not outside: `toString` and `message` are the plugin's, and may throw again. */
function wordsOf(error: unknown): string {
  try {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    return text.slice(0, wordsMax)
  } catch {
    return 'something that has no words'
  }
}
