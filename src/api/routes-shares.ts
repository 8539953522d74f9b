/** Weights and quotas of projects and users, and what they have of them now. */
import type { FastifyInstance } from 'fastify'
import { ruleOfScope } from '../core/shares.ts'
import { spentHoursMs } from '../core/spent.ts'
import type { State } from '../core/state.ts'
import type { SharesView, ShareView } from '../protocol/shares.ts'
import type { ApiOptions } from './options.ts'

const hourMs = 3_600_000

export async function shareRoutes(app: FastifyInstance, { coordinator }: ApiOptions): Promise<void> {
  app.get('/shares', async (): Promise<SharesView> => {
    await coordinator.settled()
    const { state } = coordinator
    const scopes = [...new Set([...state.shares.keys(), ...state.spent.keys()])].toSorted()
    return { shares: scopes.map((scope) => shareView(state, scope, Date.now())) }
  })
}

function shareView(state: State, scope: string, nowMs: number): ShareView {
  const { weight = 1, ...quota } = ruleOfScope(state.shares, scope) ?? {}
  const general = `${scope.slice(0, scope.indexOf(':'))}:*`
  const spent = state.spent.get(scope)
  return {
    scope,
    weight,
    quota,
    ...(!state.shares.has(scope) && state.shares.has(general) ? { rule: general } : {}),
    inUse: { cpus: spent?.cpus ?? 0, gpus: spent?.gpus ?? 0, batches: spent?.batches ?? 0 },
    lastHourCpuHours: spent === undefined ? 0 : Math.round((spentHoursMs(spent, nowMs) / hourMs) * 1000) / 1000,
  }
}
