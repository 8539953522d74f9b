/**
 * What test files say of themselves, in comments near their top, whatever the framework:
 *
 *     // muster: requires gpu.memory >= 24GiB
 *     # muster: lock db shared
 *
 * A comment begins with `//`, `#`, `--`, `;`, `%`, `/*`, `*` or `<!--`, then `muster:` or `@muster`. Only the first 2 KiB
 * of a file are read, and of a line that is cut off there nothing. Files are read in portions, so that ten thousand of
 * them hold up nobody for long. A task that is a folder (Go) has the comments of its `_test.go` files.
 */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import path from 'node:path'
import { setImmediate as pause } from 'node:timers/promises'
import { MusterError } from '../protocol/errors.ts'
import { parseBytes } from '../stdx/bytes.ts'
import { needOf, type LockText, type Requires } from './requires.ts'

export type FileComments = {
  readonly requires: Requires
  readonly tags: readonly string[]
  /** Patterns of files that come before this one. */
  readonly dependsOn: readonly string[]
}

export const commentBytesMax = 2048
const portion = 250

/** Of those files that say anything; in the order of the files. */
export async function readComments(cwd: string, files: readonly string[]): Promise<ReadonlyMap<string, FileComments>> {
  const found = new Map<string, FileComments>()
  const buffer = Buffer.alloc(commentBytesMax)
  for (const [at, file] of files.entries()) {
    if (at > 0 && at % portion === 0) await pause()
    let comments = none
    for (const name of sourcesOf(cwd, file)) {
      const text = headOf(path.join(cwd, name), buffer)
      if (text !== undefined) comments = parseComments(name, text, comments)
    }
    if (comments !== none) found.set(file, comments)
  }
  return found
}

const none: FileComments = { requires: {}, tags: [], dependsOn: [] }

function sourcesOf(cwd: string, file: string): readonly string[] {
  // Packages of Go are the only tasks that are folders: `.` and `./pkg/x`.
  if (file !== '.' && !file.startsWith('./')) return [file]
  try {
    const names = readdirSync(path.join(cwd, file)).filter((name) => name.endsWith('_test.go'))
    return names.toSorted().map((name) => path.posix.join(file, name))
  } catch (error) {
    if (isAbsence(error)) return [file]
    throw error
  }
}

/** Undefined when nothing there can be a comment of ours. */
function headOf(file: string, buffer: Buffer): string | undefined {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch (error) {
    // A suite of any command may name things that are no files.
    if (isAbsence(error)) return undefined
    throw error
  }
  try {
    const bytes = readSync(descriptor, buffer, 0, commentBytesMax, 0)
    const head = buffer.subarray(0, bytes)
    if (!head.includes('muster')) return undefined
    const text = head.toString('utf8')
    return bytes < commentBytesMax ? text : text.slice(0, text.lastIndexOf('\n') + 1)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EISDIR') return undefined
    throw error
  } finally {
    closeSync(descriptor)
  }
}

function isAbsence(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG'].includes((error as NodeJS.ErrnoException).code ?? '')
}

const comment = /^\s*(?:\/\/+|#+|--+|;+|%+|\/\*+|\*+|<!--)\s*(?:muster:|@muster\b)\s*(.*?)\s*(?:\*+\/|-->)?\s*$/

/** `before`: what other files of the same task have said. */
export function parseComments(file: string, text: string, before: FileComments = none): FileComments {
  const { locks: elsewhere = [], ...requires } = before.requires
  let comments: FileComments = elsewhere.length === 0 ? before : { ...before, requires }
  for (const [index, line] of text.split('\n').entries()) {
    const said = line.includes('muster') ? comment.exec(line)?.[1] : undefined
    if (said === undefined) continue
    const [word = '', ...rest] = said.split(/\s+/)
    const value = said.slice(word.length).trim()
    const next = parseComment(word, rest, value, comments)
    if (typeof next !== 'string') comments = next
    else
      throw new MusterError('config_invalid', `Cannot read the comment in ${file}:${index + 1}: ${next}`, {
        hint: 'Comments in test files are described in docs/reference/configuration.md.',
      })
  }
  if (elsewhere.length === 0) return comments
  return { ...comments, requires: { ...comments.requires, locks: unite(file, elsewhere, comments.requires.locks) } }
}

type LockOrName = LockText | string

/** They run in one process, so what one of them wants for itself alone is held for all. */
function unite(file: string, elsewhere: readonly LockOrName[], own: readonly LockOrName[] = []): readonly LockText[] {
  const united = new Map<string, LockText>()
  for (const one of [...elsewhere, ...own]) {
    const lock: LockText = typeof one === 'string' ? { name: one, mode: 'exclusive' } : one
    const known = united.get(lock.name)
    if (known?.mode === 'exclusive') continue
    if (known !== undefined && lock.mode !== 'exclusive' && (known.mode !== lock.mode || known.max !== lock.max))
      throw new MusterError('config_invalid', `Cannot read the comments in ${file}: expected ${differs(lock, known)}`)
    united.set(lock.name, lock)
  }
  return [...united.values()]
}

function differs({ name }: LockText, known: LockText): string {
  const how = known.max === undefined ? known.mode : `${known.max} at most`
  return `lock '${name}' as another file of the package has it (${how}), or exclusive`
}

const words =
  'requires, cpus, memory, gpus, resource, lock, exclusive, affinity, anti-affinity, spread, together, batch, tags or after'

/** With what was said, or what was expected. */
function parseComment(
  word: string,
  rest: readonly string[],
  value: string,
  comments: FileComments,
): FileComments | string {
  if (word === 'tags')
    return rest.length > 0 ? { ...comments, tags: [...comments.tags, ...rest] } : 'expected tags after tags'
  if (word === 'after')
    return rest.length > 0
      ? { ...comments, dependsOn: [...comments.dependsOn, ...rest] }
      : 'expected a file or a pattern after after'
  const said = requirement(word, rest, value, comments.requires)
  if (typeof said === 'string') return said
  const requires = { ...comments.requires, ...said }
  const need = needOf(requires, '')
  return 'key' in need ? (need.detail ?? `expected ${need.expected}, got '${value}'`) : { ...comments, requires }
}

function requirement(
  word: string,
  rest: readonly string[],
  value: string,
  before: Requires,
): Partial<Requires> | string {
  const [name, more] = rest
  switch (word) {
    case 'requires':
      if (value === '') return 'expected an expression after requires'
      return { where: before.where === undefined ? value : `(${before.where}) and (${value})` }
    case 'memory':
      return parseBytes(value) ? { memory: value } : `expected an amount such as 8GiB after memory, got '${value}'`
    case 'cpus':
    case 'gpus':
    case 'batch': {
      const count = wholeNumber(value)
      if (count === undefined) return `expected a whole number from 1 after ${word}, got '${value}'`
      return word === 'batch' ? { batch: { max: count } } : { [word]: count }
    }
    case 'resource': {
      const count = wholeNumber(more ?? '1')
      if (name === undefined || count === undefined || rest.length > 2)
        return `expected a name and a whole number after resource, got '${value}'`
      return { resources: { ...before.resources, [name]: count } }
    }
    case 'lock': {
      const lock = rest.length <= 2 && name !== undefined ? lockOf(name, more) : undefined
      return lock === undefined
        ? `expected a name, and shared, exclusive or a number after it, got '${value}'`
        : { locks: [...(before.locks ?? []), lock] }
    }
    case 'exclusive':
      return value === '' ? { exclusive: true } : `expected nothing after exclusive, got '${value}'`
    case 'affinity':
    case 'anti-affinity':
    case 'spread':
    case 'together':
      if (rest.length !== 1) return `expected one name after ${word}, got '${value}'`
      return { [word === 'anti-affinity' ? 'antiAffinity' : word]: value }
    default:
      return `expected ${words}, got '${word}'`
  }
}

/** `NAME`, or with a mode or a number of holders; undefined when it is neither. */
export function lockOf(name: string, how: string | undefined): LockText | undefined {
  if (how === undefined || how === 'exclusive') return { name, mode: 'exclusive' }
  if (how === 'shared') return { name, mode: 'shared' }
  const max = wholeNumber(how)
  return max === undefined ? undefined : { name, max }
}

function wholeNumber(text: string): number | undefined {
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined
}
