/** Planted bugs of the core: mistakes with locks, dependencies and schedulers at fault, made in what a coordinator holds. */
import type { BatchId, Lock } from '../../core/entities.ts'
import type { State } from '../../core/state.ts'
import type { Planted } from './sabotage.ts'

/** Knows its holders, and says that there are none. */
class BlindHolders extends Map<BatchId, Lock> {
  override get size(): number {
    return 0
  }
}

class BlindLocks extends Map<string, Map<BatchId, Lock>> {
  override get(name: string): Map<BatchId, Lock> {
    const known = super.get(name)
    if (known) return known
    const holders = new BlindHolders()
    this.set(name, holders)
    return holders
  }
}

const ignoresLocks: Planted = {
  name: 'ignores locks',
  profile: 'safety',
  seedsMax: 60,
  checks: ['locks are kept'],
  state(state) {
    if (state.locks instanceof BlindLocks) return
    const locks = new BlindLocks()
    for (const [name, holders] of state.locks) for (const [batch, lock] of holders) locks.get(name).set(batch, lock)
    ;(state as { locks: State['locks'] }).locks = locks
  },
}

/** Of what a task still waits for it says that it is nothing, as soon as anything of it has ended. */
class HastyCounts extends Map<number, number> {
  override get(task: number): number | undefined {
    return this.has(task) ? 0 : undefined
  }
}

const ignoresDependencies: Planted = {
  name: 'does not wait for all dependencies',
  profile: 'safety',
  seedsMax: 60,
  checks: ['what comes after waits'],
  state(state) {
    for (const run of state.runs.values()) {
      const { dependencies } = run
      if (dependencies === undefined || dependencies.open instanceof HastyCounts) continue
      run.dependencies = { ...dependencies, open: new HastyCounts(dependencies.open) }
    }
  },
}

/** It is asked again and again, whatever it does. */
const neverSuspends: Planted = {
  name: 'never suspends a scheduler',
  profile: 'safety',
  seedsMax: 60,
  checks: ['a scheduler is suspended after five faults'],
  scheduler: (scheduler) => ({
    ...scheduler,
    takeFaults: () => (scheduler.takeFaults?.() ?? []).map((fault) => ({ ...fault, suspended: false })),
  }),
}

export const plantedInNeeds: readonly Planted[] = [ignoresLocks, ignoresDependencies, neverSuspends]
