/** `muster daemon` (not for people): the host's own coordinator and worker, in the background. */
import { isMusterError } from '../../protocol/errors.ts'
import { openProgramLog } from '../../telemetry/program-log.ts'
import { daemonIdleMs } from '../daemon.ts'
import { Host } from '../host.ts'
import { hostDirectory, workerDirectory } from '../places.ts'

const idleCheckMs = 5000

export async function daemonCommand(): Promise<number> {
  const log = openProgramLog(1)
  const stopped = Promise.withResolvers<number>()
  let host: Host
  try {
    host = await Host.start({
      directory: hostDirectory(),
      worker: { dataDirectory: workerDirectory(), bound: false },
      onLog: log.say,
      debug: log.debug,
      onShutdown: () => stopped.resolve(0),
      onFatal: (error) => {
        log.fatal('cannot go on', error)
        process.exit(3)
      },
    })
  } catch (error) {
    if (isMusterError(error) && error.code === 'conflict') {
      log.say('info', `another daemon is here: ${error.message}`, {})
      return 0
    }
    log.say('error', error instanceof Error ? error.message : String(error), {})
    return isMusterError(error) ? error.exitCode : 3
  }
  log.say('info', 'daemon ready', { socket: host.socket })
  let idleSinceMs = Date.now()
  const timer = setInterval(() => {
    const { coordinator } = host
    if (coordinator.activeRuns > 0 || coordinator.feed.watchers > 0) idleSinceMs = Date.now()
    if (Date.now() - Math.max(idleSinceMs, host.lastRequestMs) > daemonIdleMs) stopped.resolve(0)
  }, idleCheckMs)
  process
    .on('SIGTERM', () => stopped.resolve(0))
    .on('SIGINT', () => stopped.resolve(0))
    .on('SIGHUP', () => log.say('info', 'terminal closed', {}))
  const code = await stopped.promise
  clearInterval(timer)
  log.say('info', 'leaving', {})
  await host.close()
  // Whatever did not end in time must not keep this process: the next daemon waits for it.
  process.exit(code)
}
