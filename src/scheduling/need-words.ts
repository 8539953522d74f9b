/** Needs in words, for people. */
import type { GpuNeed, Lock, Need } from '../core/entities.ts'
import { bytesText } from '../stdx/bytes.ts'

/** `gpu.memory >= 24GiB · 1 GPU · lock db (shared)`; empty for what runs anywhere. */
export function needWords(need: Need): string {
  const { cpus, memoryBytes, gpus, resources = {}, where, locks = [], affinity, antiAffinity, spread, batchMax } = need
  const parts = [
    ...(where === undefined ? [] : [where]),
    ...(cpus === undefined ? [] : [cpus === 1 ? '1 CPU' : `${cpus} CPUs`]),
    ...(memoryBytes === undefined ? [] : [`${bytesText(memoryBytes)} of memory`]),
    ...(gpus === undefined ? [] : [gpuWords(gpus)]),
    ...Object.entries(resources).map(([name, count]) => `${count} ${name}`),
    ...locks.map((lock) => `lock ${lock.name}${lockWords(lock)}`),
    ...(need.exclusive ? ['a host for itself'] : []),
    ...(affinity === undefined ? [] : [`affinity ${affinity}`]),
    ...(antiAffinity === undefined ? [] : [`anti-affinity ${antiAffinity}`]),
    ...(spread === undefined ? [] : [`spread ${spread}`]),
    ...(batchMax === undefined ? [] : [`batches of at most ${batchMax}`]),
  ]
  return parts.join(' · ')
}

function gpuWords({ count, memoryBytes, vendor, exclusive }: GpuNeed): string {
  const of = [
    ...(vendor === undefined ? [] : [vendor]),
    ...(memoryBytes === undefined ? [] : [bytesText(memoryBytes)]),
    ...(exclusive === false ? ['shared'] : []),
  ]
  return `${count} ${count === 1 ? 'GPU' : 'GPUs'}${of.length === 0 ? '' : ` (${of.join(', ')})`}`
}

function lockWords(lock: Lock): string {
  if (lock.mode === 'counted') return ` (${lock.max} at most)`
  return lock.mode === 'shared' ? ' (shared)' : ''
}
