/**
 * Android devices, from the adb server that runs already. The `adb` program is not asked: it would start a server
 * that stays.
 */
import net from 'node:net'
import type { Finding, Host } from './probe.ts'

const request = 'host:devices'

export async function findAndroidDevices(host: Host): Promise<Finding> {
  const port = Number(host.env['ANDROID_ADB_SERVER_PORT'] ?? 5037)
  const answer = await listDevices(port, host.askMs)
  const lines = answer.split('\n').filter((line) => line !== '')
  const usable = lines.filter((line) => line.split('\t')[1] === 'device')
  const others = lines.filter((line) => !usable.includes(line)).map((line) => line.replace('\t', ' is '))
  return {
    attributes: { 'adb.devices': usable.length },
    ...(others.length > 0 ? { unavailable: { 'adb.devices': others.join('; ') } } : {}),
  }
}

/** The server answers OKAY, four hexadecimal digits of length, and as many bytes. */
function listDevices(port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: '127.0.0.1', port })
    let answer = ''
    socket.setEncoding('latin1').setTimeout(timeoutMs, () => {
      socket.destroy(new Error(`the adb server on port ${port} did not answer within ${timeoutMs / 1000} s`))
    })
    socket.once('connect', () => socket.write(request.length.toString(16).padStart(4, '0') + request))
    socket.on('data', (text: string) => {
      answer += text
      if (answer.length > 64 * 1024) socket.destroy(new Error('the adb server says more than fits a list of devices'))
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const why =
        error.code === 'ECONNREFUSED' ? `no adb server on port ${port}; 'adb start-server' starts it` : error.message
      reject(new Error(why))
    })
    socket.once('close', () => {
      if (answer.startsWith('OKAY')) resolve(answer.slice(8))
      else reject(new Error(`the adb server answered '${answer.slice(0, 40)}'`))
    })
  })
}
