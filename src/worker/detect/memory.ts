/** Memory that the machine has, and what the cgroup leaves of it. In bytes. */
import os from 'node:os'
import { cgroupMemoryBytes } from '../capabilities.ts'
import { textOf, type Finding, type Host } from './probe.ts'

export async function findMemory(host: Host): Promise<Finding> {
  const info = (await textOf(host, '/proc/meminfo')) ?? ''
  const total = kibibytes(info, 'MemTotal') ?? os.totalmem()
  const limit = cgroupMemoryBytes(`${host.root}/sys/fs/cgroup`, await textOf(host, '/proc/self/cgroup'))
  return {
    attributes: {
      'memory.total': total,
      'memory.limit': limit !== undefined && limit < total ? limit : undefined,
      'memory.swap': kibibytes(info, 'SwapTotal'),
    },
  }
}

function kibibytes(info: string, name: string): number | undefined {
  const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(info)?.[1]
  return value === undefined ? undefined : Number(value) * 1024
}
