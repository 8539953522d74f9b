/** `muster rerun RUN`: the same suite again from its directory, with all or some of its files. */
import { connect } from '../connect.ts'
import { MusterError } from '../../protocol/errors.ts'
import type { RunFlags } from '../run-flags.ts'
import { runCommand } from './run.ts'

export type RerunOptions = Pick<RunFlags, 'server' | 'token' | 'reporter' | 'json' | 'junit' | 'ctrf'> & {
  readonly failed?: boolean
  readonly lost?: boolean
}

const statesOf = { failed: ['failed', 'timed-out', 'lost'], lost: ['lost', 'cancelled'] }

export async function rerunCommand(id: string, options: RerunOptions): Promise<number> {
  const { failed, lost, ...rest } = options
  const which = lost ? 'lost' : failed ? 'failed' : 'all'
  await using connection = await connect(options)
  const spec = await connection.client.spec(id)
  const kinds = new Map<string, number>()
  for await (const task of connection.client.tasks(id, which === 'all' ? undefined : statesOf[which]))
    kinds.set(task.file, task.kind ?? 0)
  const files = [...kinds.keys()]
  if (files.length === 0)
    throw new MusterError('conflict', `Run ${id} has no ${which} files`, { hint: `'muster show ${id}' lists them.` })
  const inPlace = spec.workspace?.type === 'in-place'
  return runCommand({
    ...rest,
    ...(inPlace ? { cwd: spec.cwd } : {}),
    ...(spec.suite === spec.framework || spec.suite === undefined
      ? { framework: spec.framework }
      : { suite: spec.suite }),
    paths: spec.paths ?? [],
    args: spec.args ?? [],
    only: files,
    ...(spec.needs === undefined ? {} : { needed: { needs: spec.needs, kinds } }),
    retries: spec.retries ?? 0,
    ...(spec.retry === undefined ? {} : { policy: spec.retry }),
    ...(spec.deadLetters === undefined ? {} : { deadLetters: spec.deadLetters.join(',') || 'none' }),
    priority: spec.priority ?? 0,
    label: Object.entries(spec.labels ?? {}).map(([key, value]) => `${key}=${value}`),
    ...(spec.cpus === undefined ? {} : { cpus: spec.cpus }),
    ...(spec.workersMax === undefined ? {} : { workers: spec.workersMax }),
    ...(spec.maxFailures ? { maxFailures: spec.maxFailures } : {}),
    ...(spec.taskTimeoutMs === undefined ? {} : { timeout: `${spec.taskTimeoutMs}ms` }),
    daemon: true,
  })
}
