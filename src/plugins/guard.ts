/**
 * Calls code of a plugin so that it can neither throw nor hang: what it throws is returned as words, and what takes too long
 * is ended in the middle. Synchronous code on this thread can be ended by V8 alone. Both ways that Node offers are here:
 * `Runtime.evaluate` of an in-process inspector session (its timer is one entry of a list: about 20 µs a call), and
 * `vm.Script` with a timeout (it starts a thread for every call: about 120 µs), for a Node without an inspector. Who has many
 * calls to make in a row opens a section for them (watch.ts), in which each costs next to nothing.
 *
 * Neither holds what the plugin does later (timers, promises), or how much memory it takes.
 */
import { Script } from 'node:vm'
import { isMainThread } from 'node:worker_threads'
import { Watch } from './watch.ts'

export type Guarded<Value> =
  | { readonly type: 'ok'; readonly value: Value }
  | { readonly type: 'threw'; readonly why: string }
  | { readonly type: 'late' }

/** What a host measures and ends a plugin's code with; the simulator has one of its own, whose time is made up. */
export type Guard = {
  readonly nowMs: () => number
  /** `nowMs`: what its clock says as the call begins, where that is known. */
  readonly call: <Value>(call: () => Value, timeoutMs: number, nowMs?: number) => Guarded<Value>
  /**
   * Makes calls within `body` cheap. False: one of them took too long, and everything of `body` ended with it, just there;
   * no `finally` was run. Absent: every call is guarded by itself, and one that took too long returns so.
   */
  readonly section?: (body: () => void) => boolean
}

/** Runs what `pending` holds; false: it was ended because its time was over. */
type Runner = (timeoutMs: number | undefined) => boolean

let pending: () => void = () => undefined
/** Short, as all that goes to the inspector is read anew every time. It returns nothing, so nothing comes back. */
const name = '__muster'
Object.defineProperty(globalThis, name, { value: () => pending() })

let runner: Runner | undefined
let inspector: Runner | undefined
let watch: Watch | undefined
let started: Watch | undefined

/** Whatever it runs catches all that is thrown. */
const evaluation = { expression: `${name}()` }

async function inspectorRunner(): Promise<Runner> {
  const { Session } = await import('node:inspector')
  const session = new Session()
  session.connect()
  let failed = false
  const answered = (error: Error | null) => {
    failed = error !== null
  }
  return (timeout) => {
    failed = false
    // Answers before it returns: the session is on this very thread.
    session.post('Runtime.evaluate', timeout === undefined ? evaluation : { ...evaluation, timeout }, answered)
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
  watch = undefined
  if (way === 'script' || !process.features.inspector) {
    runner = scriptRunner()
    return
  }
  inspector ??= await inspectorRunner()
  runner = inspector
  // The inspector of the main thread is the one that another thread can reach.
  if (isMainThread) watch = started ??= await Watch.start((run) => evaluated(run, undefined))
}

/** `call` must make what it returns of plain values: getters of a plugin's objects are a plugin's code, too. */
export function guarded<Value>(call: () => Value, timeoutMs: number, nowMs = performance.now()): Guarded<Value> {
  // A plugin that calls a host: the call that it is in has its end.
  if (watch?.place === 'plugin') return caught(call)
  if (watch?.place === 'host') {
    watch.begin(nowMs + timeoutMs)
    const outcome = caught(call)
    watch.over()
    return outcome
  }
  let outcome: Guarded<Value> = { type: 'late' }
  const run = () => {
    outcome = caught(call)
  }
  return evaluated(run, timeoutMs) ? outcome : { type: 'late' }
}

function caught<Value>(call: () => Value): Guarded<Value> {
  try {
    return { type: 'ok', value: call() }
  } catch (error) {
    return { type: 'threw', why: wordsOf(error) }
  }
}

function evaluated(run: () => void, timeoutMs: number | undefined): boolean {
  runner ??= scriptRunner()
  const before = pending
  pending = run
  try {
    return runner(timeoutMs === undefined ? undefined : Math.max(1, Math.ceil(timeoutMs)))
  } finally {
    pending = before
  }
}

/** Where there can be no section, every call in it is guarded by itself. */
export function section(body: () => void): boolean {
  if (watch?.mayBegin === true) return watch.section(body)
  body()
  return true
}

const wordsMax = 500

/** That of this thread. */
export const threadGuard: Guard = { nowMs: () => performance.now(), call: guarded, section }

/** In here, not outside: `toString` and `message` are the plugin's, and may throw again. */
function wordsOf(error: unknown): string {
  try {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    return text.slice(0, wordsMax)
  } catch {
    return 'something that has no words'
  }
}
