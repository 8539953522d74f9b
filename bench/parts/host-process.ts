/** The process that `startHost` starts: prints its socket, ends with its stdin. */
import path from 'node:path'
import { Host } from '../../src/cli/host.ts'

const directory = process.argv[2]!
const host = await Host.start({
  directory,
  history: false,
  ...(process.argv[3] === 'worker' ? { worker: { dataDirectory: path.join(directory, 'worker'), bound: true } } : {}),
  onLog: (level, message) => {
    if (level === 'error') process.stderr.write(`${message}\n`)
  },
  onShutdown: () => undefined,
  onFatal: (error) => {
    throw error
  },
})
process.stdout.write(`${host.socket}\n`)
process.stdin.on('end', () => void host.close().then(() => process.exit(0))).resume()
