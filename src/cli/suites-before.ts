/**
 * Runs that a suite comes after because its configuration says so: those of the named suites that are under way when it
 * is submitted. Suites are run one by one, so there is nothing to wait for when none of them runs.
 */
import { dirname, resolve } from 'node:path'
import type { Client } from '../client/client.ts'
import type { SubmitBody } from '../protocol/api.ts'
import { listOf } from '../runners/suite-order.ts'
import { projectId } from './project-id.ts'
import type { RunPlan } from './run-plan.ts'

export async function runsBefore(client: Client, plan: RunPlan): Promise<NonNullable<SubmitBody['after']>> {
  const { config } = plan.detected
  const names = listOf(plan.suite.order?.after)
  if (names.length === 0 || config === undefined) return []
  const projects = new Map<string, string>()
  for (const suite of config.suites ?? [])
    if (names.includes(suite.name)) projects.set(suite.name, projectId(resolve(dirname(config.file), suite.cwd ?? '.')))
  const runs = await client.runs()
  return runs
    .filter(({ suite, project, state }) => state !== 'finished' && projects.get(suite) === project)
    .map(({ run }) => ({ run, when: 'passed' as const }))
}
