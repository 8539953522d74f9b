/** `muster scheduler`: who decides which run gets which worker; look, choose another, go back. */
import { readFileSync } from 'node:fs'
import { MusterError } from '../../protocol/errors.ts'
import type {
  ChooseSchedulerBody,
  SchedulerChoiceView,
  SchedulersView,
  SchedulerView,
} from '../../protocol/scheduler.ts'
import { formatDuration } from '../../stdx/duration.ts'
import { plainText } from '../../stdx/plain-text.ts'
import { connect } from '../connect.ts'
import { ago, table } from '../table.ts'
import type { LookOptions } from './look.ts'

export async function listSchedulersCommand(options: LookOptions): Promise<number> {
  const view = await ask(options)
  return print(options, view, listWords(view))
}

export async function showSchedulerCommand(name: string | undefined, options: LookOptions): Promise<number> {
  const view = await ask(options)
  if (name === undefined) return print(options, view.choices, choiceWords(view.choices))
  const one = view.schedulers.find((scheduler) => scheduler.name === name)
  if (!one) {
    const names = view.schedulers.map((scheduler) => scheduler.name).join(', ')
    throw new MusterError('not_found', `no scheduler '${name}'; expected one of ${names}`)
  }
  return print(options, one, showWords(one, view.choices))
}

export async function useSchedulerCommand(
  name: string,
  options: LookOptions & { readonly project?: string; readonly config?: string },
): Promise<number> {
  const config = options.config === undefined ? {} : { config: readConfig(options.config) }
  return choose(options, { strategy: name, ...config })
}

export async function resetSchedulerCommand(options: LookOptions & { readonly project?: string }): Promise<number> {
  return choose(options, { strategy: null })
}

export async function schedulerStatsCommand(options: LookOptions): Promise<number> {
  const { coordinator, schedulers } = await ask(options)
  const used = schedulers.filter((one) => one.stats.rounds > 0)
  const rows = used.map(({ name, stats }) => [
    name,
    stats.rounds,
    stats.placements,
    stats.refused,
    stats.faults,
    `${stats.meanMs.toFixed(3)} ms`,
    `${stats.longestMs.toFixed(3)} ms`,
  ])
  const header = ['SCHEDULER', 'ASKED', 'PLACED', 'REFUSED', 'FAULTS', 'MEAN', 'LONGEST']
  const placed = rows.length === 0 ? `${coordinator} has placed nothing yet\n` : table(header, rows)
  const own = schedulers.map(ownWords).join('')
  const words = own === '' ? placed : `${placed}\n${own}`
  return print(options, schedulers, words)
}

/** What one says of itself, a line each. */
function ownWords({ name, metrics = {}, metricsProblem }: SchedulerView): string {
  if (metricsProblem !== undefined) return `${name} did not say what it counts: ${plainText(metricsProblem)}\n`
  return Object.entries(metrics)
    .map(([what, value]) => `${name}  ${what} ${value}\n`)
    .join('')
}

async function ask(options: LookOptions): Promise<SchedulersView> {
  await using connection = await connect(options)
  // Not before it is here: the connection ends with this function.
  return await connection.client.get<SchedulersView>('/scheduler')
}

async function choose(
  options: LookOptions & { readonly project?: string },
  choice: Pick<ChooseSchedulerBody, 'strategy' | 'config'>,
): Promise<number> {
  const { project } = options
  const body: ChooseSchedulerBody = { ...choice, ...(project === undefined ? {} : { project }) }
  await using connection = await connect(options)
  const { choices } = await connection.client.post<SchedulersView>('/scheduler', body)
  const mine = choices.find((one) => one.project === project) ?? choices[0]!
  return print(options, mine, choiceWords([mine]))
}

/** JSON, or `@FILE`. */
function readConfig(text: string): Record<string, unknown> {
  const file = text.startsWith('@') ? text.slice(1) : undefined
  const where = file === undefined ? '--config' : `--config ${text}`
  let value: unknown
  try {
    value = JSON.parse(file === undefined ? text : readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new MusterError('usage', `${where}: expected JSON, ${(cause as Error).message}`, { cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new MusterError('usage', `${where}: expected a JSON object, received ${JSON.stringify(value)}`)
  return value as Record<string, unknown>
}

function print(options: LookOptions, value: unknown, words: string): number {
  process.stdout.write(options.json ? `${JSON.stringify(value, null, 2)}\n` : words)
  return 0
}

function listWords({ schedulers, choices }: SchedulersView): string {
  return table(
    ['SCHEDULER', 'FROM', 'USED FOR', 'FAULTS', 'DESCRIPTION'],
    schedulers.map((one) => [
      one.name,
      one.plugin === undefined ? 'Muster' : one.plugin.file,
      usedFor(one, choices),
      one.suspended ? `${one.faults.length}, suspended` : one.faults.length === 0 ? '' : String(one.faults.length),
      one.description,
    ]),
  )
}

function usedFor({ name }: SchedulerView, choices: readonly SchedulerChoiceView[]): string {
  const used = choices.filter((choice) => choice.inEffect === name).map((choice) => choice.project ?? 'all')
  return used.join(', ')
}

function choiceWords(choices: readonly SchedulerChoiceView[]): string {
  return table(
    ['FOR', 'SCHEDULER', 'CONFIGURATION', ''],
    choices.map(({ project, chosen, config, inEffect, why }) => [
      project ?? (choices.length > 1 ? 'all others' : 'all'),
      inEffect,
      config === undefined ? '' : JSON.stringify(config),
      why === undefined ? (chosen === undefined ? 'by default' : '') : `instead of ${chosen}: ${why}`,
    ]),
  )
}

function showWords(one: SchedulerView, choices: readonly SchedulerChoiceView[]): string {
  const { name, description, plugin, configSchema, suspended, faults } = one
  const from =
    plugin === undefined
      ? 'Muster'
      : `${plugin.name}${plugin.version === undefined ? '' : ` ${plugin.version}`}, ${plugin.file}`
  const used = usedFor(one, choices)
  const lines = [
    `${name}: ${description}`,
    `from      ${from}`,
    `used for  ${used === '' ? 'nothing' : used}`,
    ...(suspended ? ["suspended: choose it again with 'muster scheduler use'"] : []),
    ...faults.map((fault) => `fault     ${ago(fault.atMs)}, ${fault.kind}: ${plainText(fault.why)}`),
    `longest   ${formatDuration(Math.ceil(one.stats.longestMs))} for one round`,
    configSchema === undefined ? 'config    none' : `config    ${JSON.stringify(configSchema, null, 2)}`,
  ]
  return `${lines.join('\n')}\n`
}
