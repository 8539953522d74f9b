/**
 * From the command line and the surroundings to reporters. `--reporter` names replace the reporter
 * for people; `--json`, `--junit` and `--ctrf` come on top of it. Without any, the surroundings
 * decide: GitHub Actions, a terminal, or plain lines.
 */
import { MusterError } from '../../protocol/errors.ts'
import { systemClock } from './clock.ts'
import type { Clock } from './clock.ts'
import { dataFormats, dataReporter } from './data.ts'
import type { DataFormat } from './data.ts'
import { DefaultReporter } from './default.ts'
import { DotReporter } from './dot.ts'
import { GithubReporter } from './github.ts'
import { outputTo } from './output-file.ts'
import { PlainReporter } from './plain.ts'
import type { Reporter } from './reporter.ts'
import { isSet, terminalOf, wantsLive } from './terminal.ts'
import type { OutputStream } from './terminal.ts'

export type ReporterSurroundings = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly clock?: Clock
  /** Files (or `-`) of `--json`, `--junit`, `--ctrf`. */
  readonly json?: string | undefined
  readonly junit?: string | undefined
  readonly ctrf?: string | undefined
}

const screenReporters = ['default', 'plain', 'dot', 'github'] as const
type ScreenReporter = (typeof screenReporters)[number]
/** Every name that `--reporter` takes. */
export const reporterNames: readonly string[] = [...screenReporters, ...Object.keys(dataFormats)]

/** Throws MusterError `usage` for what is not understood. */
export function parseReporters(names: readonly string[], surroundings: ReporterSurroundings): Reporter[] {
  const reporters: Reporter[] = []
  const places = new Map<string, string>()
  const addData = (format: DataFormat, path: string, asked: string): void => {
    const before = places.get(path)
    if (before !== undefined) {
      const place = path === '-' ? 'stdout' : `'${path}'`
      throw new MusterError('usage', `Both '${before}' and '${asked}' would write to ${place}`, {
        hint: `Give one of them a file, as in '${format}=FILE'.`,
      })
    }
    places.set(path, asked)
    reporters.push(dataReporter(format, outputTo(path, surroundings.cwd, surroundings.stdout)))
  }

  const screens = new Set<ScreenReporter>()
  for (const asked of names) {
    const equals = asked.indexOf('=')
    const name = equals < 0 ? asked : asked.slice(0, equals)
    const file = equals < 0 ? undefined : asked.slice(equals + 1)
    if (file === '')
      throw new MusterError('usage', `Expected a file after '${asked}'`, { hint: `For instance '${name}=report.out'.` })
    if (isScreen(name)) {
      if (file !== undefined)
        throw new MusterError('usage', `The reporter '${name}' writes to the screen, not to '${file}'`, {
          hint: `Leave '=${file}' out, or use ${list(Object.keys(dataFormats))}.`,
        })
      if (!screens.has(name)) reporters.push(screenReporter(name, surroundings))
      screens.add(name)
    } else if (isData(name)) {
      addData(name, file ?? '-', asked)
    } else {
      throw new MusterError('usage', `Unknown reporter '${name}': expected ${list(reporterNames)}`)
    }
  }
  if (names.length === 0) reporters.push(screenReporter('default', surroundings))
  for (const format of ['json', 'junit', 'ctrf'] as const) {
    const path = surroundings[format]
    if (path !== undefined) addData(format, path, `--${format}`)
  }
  return reporters
}

function screenReporter(
  name: ScreenReporter,
  { env, cwd, stderr, clock = systemClock }: ReporterSurroundings,
): Reporter {
  const terminal = terminalOf(stderr, env)
  switch (name) {
    case 'default':
      if (isSet(env['GITHUB_ACTIONS'])) return new GithubReporter(terminal, clock, env, cwd)
      return wantsLive(stderr, env) ? new DefaultReporter(terminal, clock) : new PlainReporter(terminal, clock)
    case 'plain':
      return new PlainReporter(terminal, clock)
    case 'dot':
      return new DotReporter(terminal, clock)
    case 'github':
      return new GithubReporter(terminal, clock, env, cwd)
  }
}

function isScreen(name: string): name is ScreenReporter {
  return (screenReporters as readonly string[]).includes(name)
}

function isData(name: string): name is DataFormat {
  return Object.hasOwn(dataFormats, name)
}

function list(names: readonly string[]): string {
  return `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`
}
