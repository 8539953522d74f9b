/**
 * What each file of a plan needs and comes after: what the suite, its rules, the file's own comment, the framework and
 * the command line say, put together as docs/reference/configuration.md describes. Files of equal needs share one entry,
 * because tasks of one need share batches.
 */
import path from 'node:path'
import { checkDependencies } from '../core/dependencies.ts'
import { Refused } from '../core/input.ts'
import { MusterError } from '../protocol/errors.ts'
import type { NeedBody } from '../protocol/needs.ts'
import type { RuleConfig } from '../runners/config.ts'
import type { SuiteOrder } from '../runners/detect.ts'
import type { FileComments } from '../runners/file-comments.ts'
import { mergeNeeds, needKey, needOf, type Requires } from '../runners/requires.ts'
import { listOf } from '../runners/suite-order.ts'

export type FileNeeds = {
  /** Empty: no file needs anything. */
  readonly needs: readonly NeedBody[]
  /** Index into `needs`, per file. */
  readonly kinds: readonly number[]
  /** By index. */
  readonly dependencies: readonly { readonly task: number; readonly after: readonly number[] }[]
}

export type FoundNeeds = FileNeeds & {
  /** Rules and comments that no file of these matches, in words. */
  readonly unused: readonly string[]
}

export type NeedSources = {
  readonly project: string
  readonly files: readonly string[]
  readonly order: SuiteOrder | undefined
  /** Of the framework. */
  readonly tags: Readonly<Record<string, readonly string[]>>
  readonly groups: Readonly<Record<string, readonly string[]>>
  readonly comments: ReadonlyMap<string, FileComments>
  /** Of the command line, for every file. */
  readonly flags: Requires
  /** A process of the framework runs one test at a time anyway. */
  readonly serial?: boolean
}

/** As many as a coordinator takes of one run. */
const needsMax = 1000

/** More pairs than this are a mistake in a pattern, and would take longer to send than to run. */
const pairsMax = 1_000_000

export function fileNeeds(sources: NeedSources): FoundNeeds {
  const { files, order = {}, comments, project } = sources
  const rules = order.rules ?? []
  const flags = checked(sources.flags, project)
  const base = checked(order.requires ?? {}, project)
  const parts = rules.map((rule) => (rule.requires === undefined ? undefined : checked(rule.requires, project)))
  const known = new Map<string, number>()
  const needs: NeedBody[] = []
  const kinds: number[] = []
  const matches = files.map((file) => rules.map((rule) => isAbout(rule, file, sources)))
  for (const [at, file] of files.entries()) {
    const said: NeedBody[] = parts.flatMap((part, rule) => (part !== undefined && matches[at]![rule] ? [part] : []))
    for (const group of toldOf(sources.groups, file)) said.push(checked({ together: group }, project))
    const own = comments.get(file)
    if (own !== undefined) said.push(checked(own.requires, project))
    const all = [base, ...said, flags].reduce(mergeNeeds)
    const need = sources.serial ? all : oneAtATime(all, said)
    const key = needKey(need)
    let kind = known.get(key)
    if (kind === undefined) {
      kind = needs.push(need) - 1
      known.set(key, kind)
    }
    kinds.push(kind)
  }
  if (needs.length > needsMax) throw tooDifferent(needs.length)
  const { dependencies, unused } = dependenciesOf(sources, rules, matches)
  for (const [at, rule] of rules.entries())
    if (!matches.some((one) => one[at])) unused.push(`rules[${at}] is about no file: ${aboutWords(rule)}`)
  const anything = needs.length > 1 || needs.some((need) => Object.keys(need).length > 0)
  return anything ? { needs, kinds, dependencies, unused } : { needs: [], kinds: [], dependencies, unused }
}

/**
 * A lock is held by a process, and a process with several CPUs runs several files at once. Files that name a lock
 * themselves mean each other too, so theirs gets one CPU, unless somebody says how many. One that a whole suite or a
 * command line names keeps others out.
 */
function oneAtATime(need: NeedBody, said: readonly NeedBody[]): NeedBody {
  if (need.cpus !== undefined) return need
  const names = new Set(said.flatMap(({ locks = [] }) => locks.map((lock) => lock.name)))
  const isKept = need.locks?.some((lock) => lock.mode !== 'shared' && names.has(lock.name)) === true
  return isKept ? { cpus: 1, ...need } : need
}

function checked(requires: Requires, scope: string): NeedBody {
  const need = needOf(requires, scope)
  // The configuration and comments have been checked, and so have flags.
  if ('key' in need) throw new MusterError('config_invalid', `${need.key}: expected ${need.expected}`)
  return need
}

function aboutWords({ files, tags }: RuleConfig): string {
  const parts = [
    ...(files === undefined ? [] : [['files', files] as const]),
    ...(tags === undefined ? [] : [['tags', tags] as const]),
  ]
  return parts.map(([key, value]) => `${key} ${listOf(value).join(', ')}`).join(', ')
}

function isAbout(rule: RuleConfig, file: string, { tags, comments }: NeedSources): boolean {
  const wanted = listOf(rule.tags).map(bare)
  if (rule.files !== undefined && !matchesAny(file, listOf(rule.files))) return false
  if (wanted.length === 0) return true
  const has = new Set([...toldOf(tags, file), ...(comments.get(file)?.tags ?? [])].map(bare))
  return wanted.some((tag) => has.has(tag))
}

/** A file may be called `constructor`, as a part of every object is. */
function toldOf(lists: Readonly<Record<string, readonly string[]>>, file: string): readonly string[] {
  return Object.hasOwn(lists, file) ? lists[file]! : []
}

/** Playwright writes `@slow`; who writes a rule may leave the sign out. */
function bare(tag: string): string {
  return tag.replace(/^@/, '')
}

function matchesAny(file: string, patterns: readonly string[]): boolean {
  const name = file.replace(/^\.\//, '')
  return patterns.some((pattern) => {
    const one = pattern.replace(/^\.\//, '')
    return name === one || path.posix.matchesGlob(name, one)
  })
}

/** A file that is itself among those that come before doesn't wait for the others of them. */
function dependenciesOf(
  { files, comments }: NeedSources,
  rules: readonly RuleConfig[],
  matches: readonly (readonly boolean[])[],
): { readonly dependencies: FileNeeds['dependencies']; readonly unused: string[] } {
  const unused: string[] = []
  const after = new Map<number, Set<number>>()
  let pairs = 0
  const add = (task: number, before: readonly number[]): void => {
    const list = after.get(task) ?? new Set()
    for (const one of before) list.add(one)
    pairs += before.length
    if (pairs > pairsMax) throw tooMany()
    if (list.size > 0) after.set(task, list)
  }
  const indicesOf = (patterns: readonly string[]): number[] =>
    files.flatMap((file, index) => (matchesAny(file, patterns) ? [index] : []))
  for (const [at, rule] of rules.entries()) {
    if (rule.dependsOn === undefined) continue
    const before = indicesOf(listOf(rule.dependsOn))
    if (before.length === 0) unused.push(`rules[${at}]: dependsOn ${listOf(rule.dependsOn).join(', ')} matches no file`)
    const isBefore = new Set(before)
    for (const index of files.keys()) if (matches[index]![at] && !isBefore.has(index)) add(index, before)
  }
  for (const [index, file] of files.entries()) {
    const patterns = comments.get(file)?.dependsOn ?? []
    if (patterns.length === 0) continue
    const before = indicesOf(patterns)
    if (before.length === 0) unused.push(`${file}: 'muster: after ${patterns.join(' ')}' matches no file`)
    add(
      index,
      before.filter((one) => one !== index),
    )
  }
  const dependencies = [...after].map(([task, before]) => ({ task, after: [...before].toSorted((a, b) => a - b) }))
  refuseCycle(files, dependencies)
  return { dependencies, unused }
}

/** As the core would, but before anything is sent. */
function refuseCycle(files: readonly string[], dependencies: FileNeeds['dependencies']): void {
  try {
    checkDependencies(files, dependencies)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    throw new MusterError('config_invalid', `Cannot order the files: ${error.message}`, {
      hint: "They follow from 'dependsOn' in the suite's rules and from 'muster: after' comments.",
    })
  }
}

function tooDifferent(count: number): MusterError {
  const expected = `expected at most ${needsMax} different needs in one run, found ${count}`
  return new MusterError('config_invalid', `Cannot take what the files need: ${expected}`, {
    hint: "Files of equal needs share processes: name fewer different locks, or run parts with paths or '--shard'.",
  })
}

function tooMany(): MusterError {
  return new MusterError('config_invalid', `Cannot order the files: expected at most ${pairsMax} pairs, found more`, {
    hint: "Let 'dependsOn' name fewer files, e.g. one that the others come after.",
  })
}

/** Of some of the files, in their order; what comes after files that are left out no longer waits for those. */
export function needsOfSome(whole: FileNeeds, indices: readonly number[]): FileNeeds {
  const places = new Map(indices.map((index, place) => [index, place]))
  const dependencies = whole.dependencies.flatMap(({ task, after }) => {
    const place = places.get(task)
    const before = after.flatMap((one) => places.get(one) ?? [])
    return place === undefined || before.length === 0 ? [] : [{ task: place, after: before }]
  })
  const kinds = whole.needs.length === 0 ? [] : indices.map((index) => whole.kinds[index]!)
  return { needs: whole.needs, kinds, dependencies }
}
