/** What a machine has, as text for people: a few lines of what matters most, then everything, then what is not known and why. */
import { formatAttribute } from '../core/attributes.ts'
import type { Gpu } from '../protocol/worker-messages.ts'
import { formatBytes } from '../stdx/bytes.ts'
import { width } from './reporters/text-fit.ts'

type Value = string | number | boolean | readonly string[]

export type Machine = {
  readonly os: string
  readonly arch: string
  readonly cpus: number
  readonly memoryBytes: number
  readonly tools: Readonly<Record<string, string>>
  readonly gpus?: readonly Gpu[]
  readonly resources?: Readonly<Record<string, number>>
  readonly attributes?: Readonly<Record<string, Value>>
  readonly unavailable?: Readonly<Record<string, string>>
  readonly fingerprint?: string
  readonly speed?: number
}

const gibibyte = 2 ** 30

export function gigabytes(bytes: number): string {
  const amount = bytes / gibibyte
  return `${amount.toFixed(amount < 9.95 ? 1 : 0)} GiB`
}

/** `2 × A100-PCIE-40GB`: without their makers; several kinds with a plus between. */
export function gpuWords(gpus: readonly Gpu[]): string {
  const counts = new Map<string, number>()
  for (const gpu of gpus) {
    const words = gpu.name.replace(/^(NVIDIA|AMD|Intel(\(R\))?) /, '')
    counts.set(words, (counts.get(words) ?? 0) + 1)
  }
  return [...counts].map(([words, count]) => (count === 1 ? words : `${count} × ${words}`)).join(' + ')
}

/** `head`: lines of its own before; those without text are left out. */
export function machineLines(head: readonly (readonly [string, string])[], machine: Machine, columns: number): string {
  const attributes = machine.attributes ?? {}
  const text = (name: string): string => (attributes[name] === undefined ? '' : String(attributes[name]))
  const joined = (...parts: readonly string[]): string => parts.filter((part) => part !== '').join(', ')
  const cores = joined(
    text('cpu.physical') && `${text('cpu.physical')} cores`,
    text('cpu.logical') && `${text('cpu.logical')} threads`,
  )
  const summary: (readonly [string, string])[] = [
    ...head,
    ['machine', machine.fingerprint ?? ''],
    ['speed', machine.speed === undefined ? '' : `${machine.speed} (1 = the reference machine)`],
    ['system', joined(text('os.name') || machine.os, machine.arch, text('kernel') && `kernel ${text('kernel')}`)],
    ['CPUs', joined(`${machine.cpus} for tests`, text('cpu.model'), cores)],
    ['memory', `${formatBytes(machine.memoryBytes)} for tests`],
    ...(machine.gpus ?? []).map((gpu): [string, string] => [`GPU ${shortId(gpu.id)}`, describeGpu(gpu)]),
    ['resources', entries(machine.resources ?? {})],
    ['tools', entries(machine.tools)],
  ]
  const sections = [
    paragraphs(summary, columns),
    titled(
      'ATTRIBUTES',
      Object.entries(attributes).map(([name, value]) => [name, formatAttribute(name, value)]),
      columns,
    ),
    titled('NOT AVAILABLE', Object.entries(machine.unavailable ?? {}), columns),
  ]
  return sections.filter((section) => section !== '').join('\n')
}

/** UUIDs fill half a line, and nobody reads them to the end. */
function shortId(id: string): string {
  return id.length > 12 ? `${id.slice(0, 12)}…` : id
}

function describeGpu(gpu: Gpu): string {
  return [
    gpu.name,
    ...(gpu.memoryBytes === 0 ? [] : [formatBytes(gpu.memoryBytes)]),
    ...(gpu.driver === undefined ? [] : [`driver ${gpu.driver}`]),
    ...(gpu.computeCapability === undefined ? [] : [`compute capability ${gpu.computeCapability}`]),
    ...(gpu.partOf === undefined ? [] : [`part of ${gpu.partOf}`]),
  ].join(', ')
}

function entries(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')
}

function titled(title: string, rows: readonly (readonly [string, string])[], columns: number): string {
  return rows.length === 0 ? '' : `${title}\n${paragraphs(rows, columns)}`
}

/** Names to the left; texts beside them, over as many lines as they need. */
function paragraphs(rows: readonly (readonly [string, string])[], columns: number): string {
  const filled = rows.filter(([, text]) => text !== '')
  const indent = Math.max(...filled.map(([name]) => width(name))) + 2
  return filled
    .map(([name, text]) => {
      const lines = wrapped(text, Math.max(20, columns - indent))
      return lines.map((line, index) => `${(index === 0 ? name : '').padEnd(indent)}${line}\n`).join('')
    })
    .join('')
}

function wrapped(text: string, columns: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && width(line) + 1 + width(word) > columns) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
