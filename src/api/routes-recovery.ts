/** How well each recovery level does, by kind of failure: what the choice of the next one rests on. */
import type { FastifyInstance } from 'fastify'
import { causeOf, type Kind, type LevelCounts } from '../core/recovery-table.ts'
import type { RecoveryKindView, RecoveryLevelView, RecoveryView } from '../protocol/recovery.ts'
import type { ApiOptions } from './options.ts'

export async function recoveryRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  app.get('/recovery', async (): Promise<RecoveryView> => {
    await coordinator.settled()
    const { recoveries, workers } = coordinator.state
    return {
      kinds: [...recoveries.values()].map(kindView).reverse(),
      recycling: [...workers.values()].flatMap(({ id, recycling }) =>
        recycling === undefined ? [] : [{ worker: id, sinceMs: recycling.sinceMs, untilMs: recycling.untilMs }],
      ),
    }
  })
}

function kindView({ kind, atMs, levels }: Kind): RecoveryKindView {
  const cause = causeOf(kind)
  return { cause, framework: kind.slice(cause.length + 1), lastMs: atMs, levels: levels.map(levelView) }
}

function levelView(counts: LevelCounts): RecoveryLevelView {
  const { level, tried, worked, wallMs, measured, cpuMs, memoryBytes } = counts
  return {
    level,
    tried,
    worked,
    wallMs: level === 'isolate' ? null : mean(wallMs, tried),
    cpuMs: mean(cpuMs, measured),
    memoryBytes: mean(memoryBytes, measured),
  }
}

function mean(sum: number, count: number): number | null {
  return count === 0 ? null : Math.round(sum / count)
}
