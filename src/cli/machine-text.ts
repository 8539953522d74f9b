/** What a machine has, as text for people: a few lines of what matters most, then everything, then what is not known and why. */
import { formatAttribute } from '../core/attributes.ts'
import type { Gpu } from '../protocol/worker-messages.ts'
import { formatBytes } from '../stdx/bytes.ts'
import { plainText } from '../stdx/plain-text.ts'
import { noPaint, type Paint } from './reporters/terminal.ts'
import { width } from './reporters/text-fit.ts'
import { table } from './table.ts'

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
export function machineLines(
  head: readonly (readonly [string, string])[],
  machine: Machine,
  columns: number,
  paint: Paint = noPaint,
): string {
  const { gpus = [], unavailable = {} } = machine
  const all = Object.entries(machine.attributes ?? {})
  const browsers = browserTable(machine.attributes ?? {}, columns)
  const others = all.filter(([name]) => !browsers.told.has(name))
  const summary: (readonly [string, string])[] = [
    ...head,
    ...ofMachine(machine),
    ...gpuRows(gpus),
    ['resources', entries(machine.resources ?? {})],
    ['tools', entries(machine.tools)],
  ]
  const sections = [
    paragraphs(summary, columns),
    browsers.text === ''
      ? ''
      : `${paint('bold', 'BROWSERS')} (as attributes: browser.chromium.webgpu)\n${browsers.text}`,
    titled(
      paint('bold', 'ATTRIBUTES'),
      others.map(([name, value]) => [name, formatAttribute(name, value)]),
      columns,
    ),
    titled(paint('bold', 'NOT AVAILABLE'), Object.entries(unavailable), columns),
  ]
  return sections.filter((section) => section !== '').join('\n')
}

function ofMachine(machine: Machine): (readonly [string, string])[] {
  const attributes = machine.attributes ?? {}
  const text = (name: string, after = ''): string => {
    const value = attributes[name]
    return value === undefined ? '' : `${formatAttribute(name, value)}${after}`
  }
  const within = [
    attributes['container'] ? `a container (${text('container')})` : '',
    attributes['vm'] ? `a virtual machine${attributes['vm'] === 'unknown' ? '' : ` (${text('vm')})`}` : '',
  ].filter((part) => part !== '')
  const parts = ['cpu', 'memory', 'disk'].flatMap((part) => text(`speed.${part}`) && `${part} ${text(`speed.${part}`)}`)
  const limit = attributes['memory.limit'] === undefined ? '' : `of ${text('memory.total')}`
  return [
    ['machine', machine.fingerprint ?? ''],
    ['speed', machine.speed === undefined ? '' : joined(`${machine.speed} × the reference machine`, ...parts)],
    ['system', joined(text('os.name') || machine.os, machine.arch, text('kernel') && `kernel ${text('kernel')}`)],
    ['within', within.join(' on ')],
    [
      'CPUs',
      joined(
        `${machine.cpus} for tests`,
        text('cpu.model'),
        text('cpu.physical', ' cores'),
        text('cpu.logical', ' threads'),
      ),
    ],
    ['memory', `${formatBytes(machine.memoryBytes)} for tests${limit === '' ? '' : ` ${limit}`}`],
    [
      'disk',
      joined(text('disk.free', ' free') && `${text('disk.free')} free of ${text('disk.total')}`, text('disk.kind')),
    ],
    ['NPUs', attributes['npu.count'] ? text('npu.models') : ''],
  ]
}

/** Attributes that a browser has in common with all others, by the end of their name, in the order in which they are shown. */
const ofBrowsers = ['version', 'wasm.simd', 'wasm.threads', 'webgl', 'webgpu', 'webnn'] as const

/** Empty where it would be too wide: then they stand among the attributes. */
function browserTable(
  attributes: Readonly<Record<string, Value>>,
  columns: number,
): { readonly text: string; readonly told: ReadonlySet<string> } {
  const listed = attributes['browsers']
  const names = typeof listed === 'object' ? listed : []
  const cell = (name: string, end: string): string => {
    const value = attributes[`browser.${name}.${end}`]
    return value === undefined ? '' : typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value)
  }
  const text = table(
    ['', ...ofBrowsers],
    names.map((name) => [name, ...ofBrowsers.map((end) => cell(name, end))]),
  )
  if (names.length === 0 || text.split('\n').some((line) => width(line) > columns)) return { text: '', told: new Set() }
  const told = names.flatMap((name) =>
    ['', ...ofBrowsers.map((end) => `.${end}`)].map((end) => `browser.${name}${end}`),
  )
  return { text, told: new Set(['browsers', ...told]) }
}

/** Cards that differ in nothing but a short id share a line. */
function gpuRows(gpus: readonly Gpu[]): (readonly [string, string])[] {
  const alike = new Map<string, string[]>()
  for (const gpu of gpus) {
    const text = describeGpu(gpu)
    const key = gpu.id.length > 3 ? `${text}\n${gpu.id}` : text
    alike.set(key, [...(alike.get(key) ?? []), gpu.id])
  }
  return [...alike].map(([key, ids]) => {
    const [text = ''] = key.split('\n')
    return [`GPU ${idWords(ids)}`, ids.length === 1 ? text : `${ids.length} × ${text}`]
  })
}

/** `0–6`, `1 3 5`. */
function idWords(ids: readonly string[]): string {
  const isRow = ids.length > 2 && ids.every((id, index) => Number(id) === Number(ids[0]) + index)
  return isRow ? `${ids[0]}–${ids.at(-1)}` : ids.map(shortId).join(' ')
}

function joined(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join(', ')
}

/** UUIDs fill half a line, and nobody reads them to the end. */
function shortId(id: string): string {
  return id.length > 12 ? `${id.slice(0, 12)}…` : id
}

function describeGpu(gpu: Gpu): string {
  return joined(
    gpu.name,
    gpu.memoryBytes === 0 ? '' : formatBytes(gpu.memoryBytes),
    gpu.driver === undefined ? '' : `driver ${gpu.driver}`,
    gpu.computeCapability === undefined ? '' : `compute capability ${gpu.computeCapability}`,
    gpu.partOf === undefined ? '' : `part of ${gpu.partOf}`,
  )
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
  const filled = rows
    .map(([name, text]) => [plainText(name), plainText(text)] as const)
    .filter(([, text]) => text !== '')
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
