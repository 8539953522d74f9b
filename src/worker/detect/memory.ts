/** Memory that the machine has, and what the cgroup leaves of it. In bytes. */
import os from 'node:os'
import { cgroupMemoryBytes } from '../capabilities.ts'
import { textOf, type Finding, type Host } from './probe.ts'

/** Of a virtual machine with a balloon it changes all day, and each change that is told is an event in the log. */
const jitter = 0.1

/** `toldTotal`: what was said last. */
export async function findMemory(host: Host, toldTotal?: unknown): Promise<Finding> {
  const info = (await textOf(host, '/proc/meminfo')) ?? ''
  const total = kibibytes(info, 'MemTotal') ?? os.totalmem()
  const limit = cgroupMemoryBytes(`${host.root}/sys/fs/cgroup`, await textOf(host, '/proc/self/cgroup'))
  return {
    attributes: {
      'memory.total': isAbout(total, toldTotal) ? toldTotal : total,
      'memory.limit': limit !== undefined && limit < total ? limit : undefined,
      'memory.swap': kibibytes(info, 'SwapTotal'),
    },
  }
}

function isAbout(total: number, told: unknown): told is number {
  return typeof told === 'number' && Math.abs(total - told) <= jitter * told
}

function kibibytes(info: string, name: string): number | undefined {
  const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(info)?.[1]
  return value === undefined ? undefined : Number(value) * 1024
}
