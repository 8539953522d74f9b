/**
 * What expressions can ask of a worker, by name: what Muster always knows of it, and what was detected, as it stands
 * in `Capabilities.attributes`. Where a name means both, the first counts. docs/reference/attributes.md lists them.
 */
import { formatBytes } from '../stdx/bytes.ts'
import type { AttributeValue, Capabilities } from './entities.ts'

/** Looks values up where they are, so that it costs nothing to make one for each worker. */
export function attributesOf(capabilities: Capabilities, name: string): (name: string) => AttributeValue | undefined {
  return (attribute) =>
    builtIn(capabilities, name, attribute) ?? keyed(capabilities, attribute) ?? own(capabilities.attributes, attribute)
}

const builtIns = [
  'os',
  'arch',
  'cpus',
  'memory',
  'host',
  'name',
  'speed',
  'fingerprint',
  'gpu.count',
  'gpu.memory',
  'gpu.vendor',
  'gpu.name',
] as const

/** Known of every worker that has such a thing at all. */
export function isBuiltIn(attribute: string): boolean {
  return (builtIns as readonly string[]).includes(attribute)
}

/** Every attribute that the worker has, by name. */
export function allAttributes(capabilities: Capabilities, name: string): Map<string, AttributeValue> {
  const { labels, tools, resources = {}, attributes = {} } = capabilities
  const names = new Set<string>([...builtIns, ...Object.keys(attributes)])
  for (const label in labels) names.add(`label.${label}`)
  for (const tool in tools) names.add(`tool.${tool}`)
  for (const resource in resources) names.add(`resource.${resource}`)
  const valueOf = attributesOf(capabilities, name)
  const all = new Map<string, AttributeValue>()
  for (const attribute of [...names].toSorted()) {
    const value = valueOf(attribute)
    if (value !== undefined) all.set(attribute, value)
  }
  return all
}

/** Of the cards only their number is there when there are none. */
function builtIn(capabilities: Capabilities, name: string, attribute: string): AttributeValue | undefined {
  const { gpus = [] } = capabilities
  switch (attribute as (typeof builtIns)[number]) {
    case 'os':
      return capabilities.os
    case 'arch':
      return capabilities.arch
    case 'cpus':
      return capabilities.cpus
    case 'memory':
      return capabilities.memoryBytes
    case 'host':
      return capabilities.host
    case 'name':
      return name
    case 'speed':
      return capabilities.speed
    case 'fingerprint':
      return capabilities.fingerprint
    case 'gpu.count':
      return gpus.length
    case 'gpu.memory':
      return gpus.length === 0 ? undefined : gpus.reduce((most, gpu) => Math.max(most, gpu.memoryBytes), 0)
    case 'gpu.vendor':
      return gpus.length === 0 ? undefined : [...new Set(gpus.map((gpu) => gpu.vendor))]
    case 'gpu.name':
      return gpus.length === 0 ? undefined : [...new Set(gpus.map((gpu) => gpu.name))]
    default:
      return undefined
  }
}

function keyed(capabilities: Capabilities, attribute: string): AttributeValue | undefined {
  if (attribute.startsWith('label.')) return own(capabilities.labels, attribute.slice('label.'.length))
  if (attribute.startsWith('tool.')) return own(capabilities.tools, attribute.slice('tool.'.length))
  if (attribute.startsWith('resource.')) return own(capabilities.resources, attribute.slice('resource.'.length))
  return undefined
}

/** Labels and detected names are anybody's words: `constructor` is not there unless somebody said so. */
function own<T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined
}

const inBytes = /^(?:(?:gpu\.)?memory|memory\..+|disk\.(?:free|total))$/

/** For people: amounts of memory and disk in GiB and the like. */
export function formatAttribute(name: string, value: AttributeValue): string {
  if (typeof value === 'number' && inBytes.test(name)) return formatBytes(value)
  return typeof value === 'object' ? value.join(', ') : String(value)
}
