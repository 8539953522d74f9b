/** What this host offers: CPUs and memory as far as its cgroup allows them, and what detection has found. */
import { readFileSync } from 'node:fs'
import os from 'node:os'
import type { WorkerCapabilities } from '../protocol/worker-messages.ts'
import type { Detected } from './detect/detected.ts'
import { hostId } from './host-id.ts'

export type Offer = {
  readonly labels: Readonly<Record<string, string>>
  /** Default: all that the host (its cgroup) has. */
  readonly cpus?: number | undefined
  /** Counted things that batches take and give back. */
  readonly resources?: Readonly<Record<string, number>> | undefined
}

export function capabilities(offer: Offer, detected: Detected): WorkerCapabilities {
  const { tools, gpus, attributes, unavailable, fingerprint, speed } = detected
  const resources = offer.resources ?? {}
  return {
    os: process.platform,
    arch: process.arch,
    cpus: offer.cpus ?? availableCpus(),
    memoryBytes: availableMemoryBytes(),
    host: hostId(),
    labels: { ...offer.labels },
    tools: { ...tools },
    ...(gpus.length > 0 ? { gpus: [...gpus] } : {}),
    ...(Object.keys(resources).length > 0 ? { resources: { ...resources } } : {}),
    ...(Object.keys(attributes).length > 0 ? { attributes: { ...attributes } } : {}),
    ...(Object.keys(unavailable).length > 0 ? { unavailable: { ...unavailable } } : {}),
    ...(fingerprint === undefined ? {} : { fingerprint }),
    ...(speed === undefined ? {} : { speed }),
  }
}

export function availableCpus(): number {
  return Math.max(1, Math.min(os.availableParallelism(), Math.floor(cgroupCpus() ?? Infinity)))
}

export function availableMemoryBytes(): number {
  return Math.min(os.totalmem(), cgroupMemoryBytes() ?? Infinity)
}

/** The CPU quota of this process's cgroup or of one above it, in CPUs; undefined = none. */
export function cgroupCpus(root = '/sys/fs/cgroup', membership = readText('/proc/self/cgroup')): number | undefined {
  return smallest(membership, (controllers, folder) =>
    controllers === '' ? quotaOfV2(`${root}/${folder}`) : quotaOfV1(controllers, root, folder),
  )
}

/** The memory limit of this process's cgroup or of one above it, in bytes; undefined = none. */
export function cgroupMemoryBytes(
  root = '/sys/fs/cgroup',
  membership = readText('/proc/self/cgroup'),
): number | undefined {
  return smallest(membership, (controllers, folder) => {
    if (controllers === '') return limitOf(`${root}/${folder}/memory.max`)
    if (!controllers.split(',').includes('memory')) return undefined
    const limit = limitOf(`${root}/memory/${folder}/memory.limit_in_bytes`)
    // Version 1 has no word for "no limit": it is the largest number of whole pages.
    return limit !== undefined && limit < 2 ** 60 ? limit : undefined
  })
}

function limitOf(file: string): number | undefined {
  const limit = Number(readText(file) ?? 'none')
  return Number.isFinite(limit) && limit > 0 ? limit : undefined
}

/** Of what is found in the process's own cgroups and those above them. */
function smallest(
  membership: string | undefined,
  look: (controllers: string, folder: string) => number | undefined,
): number | undefined {
  if (membership === undefined) return undefined
  const found: number[] = []
  for (const line of membership.trim().split('\n')) {
    // Some container runtimes put colons into a group's name.
    const [, controllers = '', ...named] = line.split(':')
    const group = named.join(':')
    const steps = group.split('/').filter((step) => step !== '')
    for (let depth = steps.length; depth >= 0; depth -= 1) {
      const value = look(controllers, steps.slice(0, depth).join('/'))
      if (value !== undefined) found.push(value)
    }
  }
  return found.length === 0 ? undefined : Math.min(...found)
}

function quotaOfV2(folder: string): number | undefined {
  const [quota, period] = (readText(`${folder}/cpu.max`) ?? '').trim().split(' ')
  const cpus = Number(quota) / Number(period ?? 100_000)
  // `max`, or nothing that makes sense.
  return Number.isFinite(cpus) && cpus > 0 ? cpus : undefined
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
