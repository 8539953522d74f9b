/** What this host offers: CPUs and memory as far as its cgroup allows them, and the tools found on PATH. */
import { readFileSync } from 'node:fs'
import os from 'node:os'
import type { Static } from 'typebox'
import type { CapabilitiesSchema } from '../protocol/worker-messages.ts'
import { hostId } from './host-id.ts'

export type WorkerCapabilities = Static<typeof CapabilitiesSchema>

export function capabilities(
  labels: Readonly<Record<string, string>>,
  tools: Readonly<Record<string, string>>,
  cpus?: number,
): WorkerCapabilities {
  return {
    os: process.platform,
    arch: process.arch,
    cpus: cpus ?? availableCpus(),
    memoryBytes: availableMemoryBytes(),
    host: hostId(),
    labels: { ...labels },
    tools: { ...tools },
  }
}

export function availableCpus(): number {
  return Math.max(1, Math.min(os.availableParallelism(), Math.floor(cgroupCpus() ?? Infinity)))
}

function availableMemoryBytes(): number {
  const total = os.totalmem()
  const limit = process.constrainedMemory()
  return limit > 0 && limit < total ? limit : total
}

/** The CPU quota of this process's cgroup or of one above it, in CPUs; undefined = none. */
export function cgroupCpus(root = '/sys/fs/cgroup', membership = readText('/proc/self/cgroup')): number | undefined {
  if (membership === undefined) return undefined
  const quotas: number[] = []
  for (const line of membership.trim().split('\n')) {
    const [, controllers = '', group = '/'] = line.split(':')
    const steps = group.split('/').filter((step) => step !== '')
    for (let depth = steps.length; depth >= 0; depth -= 1) {
      const folder = steps.slice(0, depth).join('/')
      const quota = controllers === '' ? quotaOfV2(`${root}/${folder}`) : quotaOfV1(controllers, root, folder)
      if (quota !== undefined) quotas.push(quota)
    }
  }
  return quotas.length === 0 ? undefined : Math.min(...quotas)
}

function quotaOfV2(folder: string): number | undefined {
  const [quota, period] = (readText(`${folder}/cpu.max`) ?? '').trim().split(' ')
  return quota === undefined || quota === '' || quota === 'max' ? undefined : Number(quota) / Number(period ?? 100_000)
}

function quotaOfV1(controllers: string, root: string, folder: string): number | undefined {
  if (!controllers.split(',').includes('cpu')) return undefined
  for (const mount of [controllers, 'cpu', 'cpu,cpuacct']) {
    const quota = Number(readText(`${root}/${mount}/${folder}/cpu.cfs_quota_us`) ?? 0)
    const period = Number(readText(`${root}/${mount}/${folder}/cpu.cfs_period_us`) ?? 0)
    if (quota > 0 && period > 0) return quota / period
  }
  return undefined
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    // Not there: this host has no such cgroup version, or no such limit.
    return undefined
  }
}
