/** Whether containers can be started here: the daemon's answer, since the client alone starts none. */
import { ask } from './ask.ts'
import type { Finding, Host } from './probe.ts'

export async function findDocker(host: Host): Promise<Finding> {
  const question = { timeoutMs: host.askMs, env: host.env, signal: host.signal }
  const version = await ask('docker', ['version', '--format', '{{.Server.Version}}'], question)
  return { attributes: { 'docker.server': version.trim() || undefined } }
}
