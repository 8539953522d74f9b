/** `muster daemon` (not for people): the host's own coordinator and worker, in the background. */
import pino from 'pino'
import { isMusterError } from '../../protocol/errors.ts'
import { daemonIdleMs } from '../daemon.ts'
import { Host } from '../host.ts'
import { hostDirectory, workerDirectory } from '../places.ts'

const idleCheckMs = 5000

export async function daemonCommand(): Promise<number> {
  const log = pino({ base: { pid: process.pid } }, pino.destination({ dest: 1, sync: true }))
  const stopped = Promise.withResolvers<number>()
  let host: Host
  try {
    host = await Host.start({
      directory: hostDirectory(),
      worker: { dataDirectory: workerDirectory(), bound: false },
      onLog: (level, message, detail) => log[level](detail, message),
      onShutdown: () => stopped.resolve(0),
      onFatal: (error) => {
        log.fatal({ error: String(error) }, 'cannot go on')
        process.exit(3)
      },
    })
  } catch (error) {
    if (isMusterError(error) && error.code === 'conflict') {
      log.info(`another daemon is here: ${error.message}`)
      return 0
    }
    log.error(error instanceof Error ? error.message : String(error))
    return isMusterError(error) ? error.exitCode : 3
  }
  log.info({ socket: host.socket }, 'daemon ready')
  let idleSinceMs = Date.now()
  const timer = setInterval(() => {
    const { coordinator } = host
    if (coordinator.activeRuns > 0 || coordinator.feed.watchers > 0) idleSinceMs = Date.now()
    if (Date.now() - Math.max(idleSinceMs, host.lastRequestMs) > daemonIdleMs) stopped.resolve(0)
  }, idleCheckMs)
  process
    .on('SIGTERM', () => stopped.resolve(0))
    .on('SIGINT', () => stopped.resolve(0))
    .on('SIGHUP', () => log.info('terminal closed'))
  const code = await stopped.promise
  clearInterval(timer)
  log.info('leaving')
  await host.close()
  // Whatever did not end in time must not keep this process: the next daemon waits for it.
  process.exit(code)
}
