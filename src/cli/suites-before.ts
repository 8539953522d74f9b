/**
 * Runs that a suite comes after because its configuration says so: of a suite that this very command runs, that run; of
 * any other, those that are under way when it is submitted. Nothing else is waited for: a suite that nobody runs never ends.
 */
import { dirname, resolve } from 'node:path'
import type { Client } from '../client/client.ts'
import type { SubmitBody } from '../protocol/api.ts'
import { suitesBefore } from '../runners/suite-order.ts'
import { projectId } from './project-id.ts'
import type { RunPlan } from './run-plan.ts'

type After = NonNullable<SubmitBody['after']>

/** `ours`: runs that this command has submitted, by suite; null: it leaves the suite out, and nothing is waited for. */
export async function runsBefore(
  client: Client,
  plan: RunPlan,
  ours: ReadonlyMap<string, string | null> = new Map(),
): Promise<After> {
  const { config } = plan.detected
  const { order } = plan.suite
  if (config === undefined || order === undefined) return []
  const after: After = []
  /** Those of other commands, by suite. */
  const others = new Map<string, { readonly project: string; readonly when: After[number]['when'] }>()
  for (const { suite, when } of suitesBefore(order, config.suites ?? [])) {
    if (suite === undefined) continue
    const run = ours.get(suite.name)
    if (typeof run === 'string') after.push({ run, when })
    if (run !== undefined) continue
    others.set(suite.name, { project: projectId(resolve(dirname(config.file), suite.cwd ?? '.')), when })
  }
  if (others.size === 0) return after
  for (const { run, suite, project, state } of await client.runs()) {
    const other = others.get(suite)
    if (state !== 'finished' && other?.project === project) after.push({ run, when: other.when })
  }
  return after
}
