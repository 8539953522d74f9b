/** The commands that change something that exists: cancel, pause, resume, down. */
import { isMusterError, MusterError } from '../../protocol/errors.ts'
import { connect, runningDaemon, type Where } from '../connect.ts'

export async function actCommand(
  action: 'cancel' | 'pause' | 'resume',
  runs: readonly string[],
  options: Where,
): Promise<number> {
  await using connection = await connect(options)
  let code = 0
  for (const run of runs) {
    try {
      const view = await connection.client.act(run, action)
      process.stdout.write(`${run} ${view.state}\n`)
    } catch (error) {
      if (!isMusterError(error) || runs.length === 1) throw error
      process.stderr.write(`muster: ${error.message}\n`)
      code = error.exitCode
    }
  }
  return code
}

const downWaitMs = 15_000

export async function downCommand(options: { readonly force?: boolean }): Promise<number> {
  const client = await runningDaemon()
  if (!client) {
    process.stdout.write('no daemon is running\n')
    return 0
  }
  const { activeRuns, pid } = await client.health()
  if (activeRuns > 0 && !options.force) {
    throw new MusterError('conflict', `${activeRuns} run(s) are under way on this host`, {
      hint: "'muster ps' shows them; 'muster down --force' cancels them and stops.",
    })
  }
  if (activeRuns > 0) {
    for (const run of await client.runs())
      if (run.state !== 'finished') await client.act(run.run, 'cancel', { why: 'muster down --force' })
  }
  await client.shutdown()
  const deadlineMs = Date.now() + downWaitMs
  while (isAlive(pid)) {
    if (Date.now() > deadlineMs)
      throw new MusterError('unavailable', `The daemon (pid ${pid}) did not end within ${downWaitMs / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  process.stdout.write('the daemon has ended\n')
  return 0
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
