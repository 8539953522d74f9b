/**
 * What a configuration says of needs and order, checked beyond its shape: amounts and expressions can be read, rules say
 * whom they are about, and suites that come after each other don't go round in a circle.
 */
import { parseDuration } from '../stdx/duration.ts'
import type { SuiteConfig } from './config-types.ts'
import { quoted } from './quoted.ts'
import { needOf, type Requires, type RequiresFault } from './requires.ts'

export type Mistake = { readonly place: string; readonly expected: string; readonly received: string }

export function firstMistake(suites: readonly SuiteConfig[]): Mistake | undefined {
  for (const [at, suite] of suites.entries()) {
    const mistake = suiteMistake(suite, suites)
    if (mistake !== undefined) return { ...mistake, place: `suites[${at}].${mistake.place}` }
  }
  const cycle = cycleOf(suites)
  if (cycle === undefined) return undefined
  const at = suites.findIndex((suite) => suite.name === cycle[0])
  const received = `a circle: ${[...cycle, cycle[0]!].join(' -> ')}`
  return { place: `suites[${at}].after`, expected: 'suites in some order', received }
}

function suiteMistake(suite: SuiteConfig, suites: readonly SuiteConfig[]): Mistake | undefined {
  const requires: [Requires | undefined, string][] = [[suite.requires, 'requires']]
  for (const [at, rule] of (suite.rules ?? []).entries()) {
    const place = `rules[${at}]`
    if (rule.files === undefined && rule.tags === undefined)
      return { place, expected: 'files or tags that the rule is about', received: 'neither' }
    if (rule.requires === undefined && rule.dependsOn === undefined)
      return { place, expected: 'requires or dependsOn', received: 'neither' }
    requires.push([rule.requires, `${place}.requires`])
  }
  for (const [given, place] of requires) {
    const need = needOf(given ?? {}, '')
    if ('key' in need) return { place: `${place}.${need.key}`, expected: need.expected, received: receivedWords(need) }
  }
  for (const { text, suite: before } of suitesBefore(suite, suites))
    if (before === undefined)
      return { place: 'after', expected: `one of ${suites.map((one) => one.name).join(', ')}`, received: `'${text}'` }
  const { deadline } = suite
  if (deadline !== undefined && !isDeadline(deadline))
    return {
      place: 'deadline',
      expected: 'a duration such as "20m", or a time such as "14:00"',
      received: `'${deadline}'`,
    }
  return undefined
}

function receivedWords({ received, detail }: RequiresFault): string {
  const shown = received === undefined ? 'nothing' : quoted(received)
  return detail === undefined ? shown : `${shown}\n${detail}`
}

export function isDeadline(text: string): boolean {
  return (parseDuration(text) ?? 0) > 0 || /^([01]?\d|2[0-3]):[0-5]\d$/.test(text)
}

export function listOf(given: string | readonly string[] | undefined): readonly string[] {
  return given === undefined ? [] : typeof given === 'string' ? [given] : given
}

export type SuiteBefore = {
  /** As it was written. */
  readonly text: string
  /** Undefined: there is none of this name. */
  readonly suite: SuiteConfig | undefined
  readonly when: 'passed' | 'finished'
}

const finished = ':finished'

/** What a suite comes after: `NAME`, or `NAME:finished` when it runs however that one ends. */
export function suitesBefore(
  { after }: Pick<SuiteConfig, 'after'>,
  suites: readonly SuiteConfig[],
): readonly SuiteBefore[] {
  const named = (name: string) => suites.find((one) => one.name === name)
  return listOf(after).map((text) => {
    // A suite may be called so.
    const whole = named(text)
    if (whole !== undefined || !text.endsWith(finished)) return { text, suite: whole, when: 'passed' }
    return { text, suite: named(text.slice(0, -finished.length)), when: 'finished' }
  })
}

/** Each after those that it comes after, otherwise as they stand; they don't go round in a circle. */
export function inOrder(suites: readonly SuiteConfig[]): readonly SuiteConfig[] {
  const placed = new Set<SuiteConfig>()
  const place = (suite: SuiteConfig): void => {
    if (placed.has(suite)) return
    for (const before of suitesBefore(suite, suites)) if (before.suite !== undefined) place(before.suite)
    placed.add(suite)
  }
  suites.forEach(place)
  return [...placed]
}

/** Suites of which each comes after the next, and the last after the first. */
function cycleOf(suites: readonly SuiteConfig[]): readonly string[] | undefined {
  const namesBefore = (suite: SuiteConfig) =>
    suitesBefore(suite, suites).flatMap((one) => (one.suite === undefined ? [] : [one.suite.name]))
  const after = new Map(suites.map((suite) => [suite.name, namesBefore(suite)]))
  const done = new Set<string>()
  const walk = (name: string, path: readonly string[]): readonly string[] | undefined => {
    if (path.includes(name)) return path.slice(path.indexOf(name))
    if (done.has(name)) return undefined
    for (const before of after.get(name) ?? []) {
      const cycle = walk(before, [...path, name])
      if (cycle !== undefined) return cycle
    }
    done.add(name)
    return undefined
  }
  for (const { name } of suites) {
    const cycle = walk(name, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}
