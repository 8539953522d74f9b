/**
 * Breakers in front of what the coordinator calls outside itself: history, a blob store, an exporter. A
 * caller asks before it calls and tells how the call ended; outcomes go to the log in sums, once a
 * second and only while they are of interest, and the core decides. Where a breaker is open the caller
 * does without, at once, instead of waiting for what won't answer.
 */
import { isOpen } from '../core/breaker.ts'
import { integrationScope } from '../core/breaker-state.ts'
import type { Observe } from '../core/input.ts'
import type { State } from '../core/state.ts'

/** What a caller holds; one per integration. */
export interface CallGuard {
  /** Whether to call now. True must be followed by one `ended`. */
  mayCall(): boolean
  /** Undefined: it went well. */
  ended(trouble: string | undefined): void
}

type Calls = { underWay: number; ok: number; failed: number; why: string }

export class IntegrationBreakers {
  readonly #state: State
  readonly #submit: (input: Observe) => void
  readonly #calls = new Map<string, Calls>()

  constructor(state: State, submit: (input: Observe) => void) {
    this.#state = state
    this.#submit = submit
  }

  guard(name: string): CallGuard {
    const scope = integrationScope(name)
    const calls: Calls = { underWay: 0, ok: 0, failed: 0, why: '' }
    this.#calls.set(scope, calls)
    return {
      mayCall: () => {
        const { notClosed } = this.#state.breakers
        if (isOpen(this.#state, scope)) return false
        if (notClosed.has(scope) && calls.underWay >= this.#state.limits.breakerProbesMax) return false
        calls.underWay += 1
        return true
      },
      ended: (trouble) => {
        calls.underWay -= 1
        if (trouble === undefined) calls.ok += 1
        else {
          calls.failed += 1
          calls.why = trouble
        }
      },
    }
  }

  /** Once a second. */
  tick(): void {
    for (const [scope, calls] of this.#calls) {
      const { ok, failed, why } = calls
      if (failed > 0 || (ok > 0 && this.#state.breakers.byScope.has(scope))) {
        this.#submit({ type: 'observe', scope, ok, failed, why: failed > 0 ? why : 'it answers' })
      }
      calls.ok = 0
      calls.failed = 0
    }
  }
}
