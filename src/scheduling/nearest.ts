/**
 * What a worker lacks to run tasks of a need, and which of many workers lacks least: the answer to "why does nobody
 * fit?". Says the same as `fits`, only at length; of two workers that lack as many things, the one whose numbers are
 * nearer comes first.
 */
import { attributesOf } from '../core/attributes.ts'
import type { Capabilities, GpuNeed, Need } from '../core/entities.ts'
import { misses, parseExpression, type Expression } from '../core/expression.ts'
import { gpuFits } from '../core/fit.ts'
import type { Run, Worker } from '../core/state.ts'
import { bytesText, formatBytes } from '../stdx/bytes.ts'

/** Something that a worker would have to be or have. */
export type Lack = {
  /** As an expression would say it: `gpu.memory >= 24GiB`. */
  readonly wanted: string
  /** What it is instead; absent when it isn't there. */
  readonly found?: string
  /** Between numbers: 0 to 1, as a part of the larger of both; 1 otherwise. */
  readonly distance: number
}

export type Nearest = { readonly worker: Worker; readonly lacks: readonly Lack[] }

/** Empty when it fits. */
export function lacksOf(run: Run, need: Need, worker: Worker, where = expressionIn(need)): readonly Lack[] {
  const { capabilities } = worker
  const lacks: Lack[] = []
  const atLeast = (name: string, wanted: number, found: number, format: (value: number) => string = String) => {
    if (found < wanted)
      lacks.push({
        wanted: `${name} >= ${format === formatBytes ? bytesText(wanted) : wanted}`,
        found: format(found),
        distance: (wanted - found) / wanted,
      })
  }
  if (worker.draining) lacks.push({ wanted: 'a worker that takes work', found: 'is draining', distance: 1 })
  const { workspace, labels } = run.spec
  if (workspace.type === 'in-place' && workspace.host !== capabilities.host)
    lacks.push({ wanted: `host == ${workspace.host}`, found: capabilities.host, distance: 1 })
  for (const key in labels) {
    const found = Object.hasOwn(capabilities.labels, key) ? capabilities.labels[key] : undefined
    if (found !== labels[key]) lacks.push(lackOf(`label.${key} == ${labels[key]!}`, found))
  }
  if (need.cpus !== undefined) atLeast('cpus', need.cpus, capabilities.cpus)
  if (need.memoryBytes !== undefined) atLeast('memory', need.memoryBytes, capabilities.memoryBytes, formatBytes)
  for (const name in need.resources)
    atLeast(`resource.${name}`, need.resources[name]!, capabilities.resources?.[name] ?? 0)
  if (need.gpus !== undefined) lacks.push(...gpuLacks(need.gpus, capabilities))
  if (where !== undefined)
    for (const { text, found, distance = 1 } of misses(where, attributesOf(capabilities, worker.name)))
      lacks.push({ wanted: text, ...(found === undefined ? {} : { found }), distance })
  return lacks
}

function lackOf(wanted: string, found: string | undefined): Lack {
  return { wanted, ...(found === undefined ? {} : { found }), distance: 1 }
}

/** Cards are told apart by vendor first, then by memory; what is short is said of the first that leaves too few. */
function gpuLacks(need: GpuNeed, { gpus = [] }: Capabilities): readonly Lack[] {
  const { count, vendor, memoryBytes } = need
  if (gpus.filter((gpu) => gpuFits(need, gpu)).length >= count) return []
  const short = (wanted: string, found: number): Lack => ({ wanted, found: String(found), distance: 1 - found / count })
  // More of the same cards would do only if they were right otherwise.
  if (gpus.length < count)
    return [
      short(`gpu.count >= ${count}`, gpus.length),
      ...(vendor === undefined || gpus.some((gpu) => gpu.vendor === vendor)
        ? []
        : [lackOf(`gpu.vendor == ${vendor}`, undefined)]),
      ...(memoryBytes === undefined || gpus.some((gpu) => gpuFits(need, gpu))
        ? []
        : [lackOf(`gpu.memory >= ${bytesText(memoryBytes)}`, undefined)]),
    ]
  const ofVendor = vendor === undefined ? gpus : gpus.filter((gpu) => gpu.vendor === vendor)
  if (ofVendor.length < count)
    return count === 1
      ? [lackOf(`gpu.vendor == ${vendor!}`, [...new Set(gpus.map((gpu) => gpu.vendor))].join(', '))]
      : [short(`${count} GPUs of vendor ${vendor!}`, ofVendor.length)]
  const wanted = memoryBytes ?? 0
  // What the smallest of the `count` largest has is what is missing from.
  const found = ofVendor.map((gpu) => gpu.memoryBytes).sort((a, b) => b - a)[count - 1]!
  const words = `gpu.memory >= ${bytesText(wanted)}`
  return [
    {
      wanted: count === 1 ? words : `${count} GPUs with ${words}`,
      found: formatBytes(found),
      distance: (wanted - found) / wanted,
    },
  ]
}

/** Undefined when there is no worker. */
export function nearestOf(run: Run, need: Need, workers: Iterable<Worker>): Nearest | undefined {
  const where = expressionIn(need)
  let best: (Nearest & { readonly distance: number }) | undefined
  for (const worker of workers) {
    const lacks = lacksOf(run, need, worker, where)
    const distance = lacks.reduce((sum, lack) => sum + lack.distance, 0)
    const order = best && (lacks.length - best.lacks.length || distance - best.distance)
    if (best === undefined || order! < 0 || (order === 0 && worker.id < best.worker.id))
      best = { worker, lacks, distance }
  }
  return best && { worker: best.worker, lacks: best.lacks }
}

/** What was submitted can be parsed. */
function expressionIn({ where }: Need): Expression | undefined {
  return where === undefined ? undefined : parseExpression(where)
}
