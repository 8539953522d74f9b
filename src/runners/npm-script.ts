/**
 * What a package's own test script says about how a framework is started. `npm test` of many projects
 * is `mocha --require test/env test/ test/acceptance/`: those words decide which files run and how, so a
 * run that ignores them is not the project's own run.
 *
 * The script is read, never evaluated: words, quotes, leading `NAME=value`, `&&`, well-known wrappers
 * (cross-env, nyc, c8, npx, …) and `npm run other` are understood, unquoted file patterns are expanded as
 * `sh` would. Anything else (`$VARIABLE`, `$(…)`, redirection) makes that command unknown, and
 * the caller goes on as if the script weren't there.
 */
import { existsSync, globSync } from 'node:fs'
import path from 'node:path'
import type { PackageJson, Project } from './runner.ts'

export type Invocation = {
  /** Name of the script that holds the command. */
  readonly script: string
  /** Base name of the program, e.g. `mocha`, `node`. */
  readonly program: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Flags of a `node …/mocha` start. */
  readonly nodeArgs: readonly string[]
}

/** Whether these words start the framework; `program` is a base name without `.js`. */
export type Recognise = (program: string, args: readonly string[]) => boolean

const scriptsFirst = ['test', 'test:unit', 'unit', 'test:node', 'tests', 'test:ci', 'test-ci']
const depthMax = 5

/** Every start of the framework by the first test script that starts it at all, in order. */
export function findInvocations(project: Project, recognise: Recognise): readonly Invocation[] {
  const scripts = project.packageJson?.scripts
  if (scripts === undefined) return []
  const others = Object.keys(scripts)
    .filter((name) => /^(test|unit|e2e|integration)\b/.test(name))
    .toSorted()
  for (const name of new Set([...scriptsFirst, ...others])) {
    const found = readScript(project, project.packageJson!, name, [], recognise, depthMax)
    if (found.length > 0) return found
  }
  return []
}

/** Every start of the framework by this script and the scripts it runs. */
export function invocationsOf(project: Project, script: string, recognise: Recognise): readonly Invocation[] {
  return project.packageJson === undefined
    ? []
    : readScript(project, project.packageJson, script, [], recognise, depthMax)
}

function readScript(
  project: Project,
  packageJson: PackageJson,
  name: string,
  extra: readonly string[],
  recognise: Recognise,
  depth: number,
): readonly Invocation[] {
  const text = packageJson.scripts?.[name]
  if (text === undefined || depth === 0) return []
  const commands = splitScript(text)
  const found: Invocation[] = []
  commands.forEach((words, index) => {
    if (words === undefined) return
    const expanded = words.flatMap((word) => expandWord(project.cwd, word))
    // `npm run x -- more` appends its words to the last command.
    const all = index === commands.length - 1 ? [...expanded, ...extra] : expanded
    found.push(...readCommand(project, packageJson, name, all, recognise, depth))
  })
  return found
}

function readCommand(
  project: Project,
  packageJson: PackageJson,
  script: string,
  words: readonly string[],
  recognise: Recognise,
  depth: number,
): readonly Invocation[] {
  const env: Record<string, string> = {}
  let wrapped = false
  for (const [at, word] of words.entries()) {
    const assignment = /^([A-Za-z_]\w*)=(.*)$/s.exec(word)
    const program = programName(word)
    const rest = words.slice(at + 1)
    if (assignment !== null) env[assignment[1]!] = assignment[2]!
    else if (recognise(program, rest)) return [{ script, program, args: rest, env, nodeArgs: [] }]
    else if (program === 'node') return readNode(script, rest, env, recognise)
    else if (runners.has(program)) {
      const next = scriptNames(program, rest)
      if (next === undefined) wrapped = true
      else {
        return next.names
          .flatMap((name) => readScript(project, packageJson, name, next.extra, recognise, depth - 1))
          .map((one) => ({ ...one, env: { ...env, ...one.env } }))
      }
    } else if (wrappers.has(program)) wrapped = true
    // Behind a wrapper it may be one of the wrapper's options or such an option's value.
    else if (!wrapped) return []
  }
  return []
}

/** `node --flag node_modules/.bin/mocha args`. */
function readNode(
  script: string,
  words: readonly string[],
  env: Record<string, string>,
  recognise: Recognise,
): readonly Invocation[] {
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!
    if (word.startsWith('-') || nodeFlagsWithValue.has(words[at - 1] ?? '')) continue
    const program = programName(word)
    const args = words.slice(at + 1)
    return recognise(program, args) ? [{ script, program, args, env, nodeArgs: words.slice(0, at) }] : []
  }
  return []
}

const wrappers = new Set([
  'cross-env',
  'cross-env-shell',
  'env',
  'nyc',
  'c8',
  'npx',
  'pnpx',
  'bunx',
  'exec',
  'time',
  'dotenv',
  'nice',
  'xvfb-run',
])
const runners = new Set(['npm', 'yarn', 'pnpm', 'run-s', 'npm-run-all', 'run-p'])
const nodeFlagsWithValue = new Set([
  '-r',
  '--require',
  '--import',
  '--loader',
  '--experimental-loader',
  '-C',
  '--conditions',
  '--env-file',
])

function programName(word: string): string {
  return path.posix.basename(word).replace(/\.[cm]?js$/, '')
}

/** Which scripts `npm run a`, `yarn a`, `run-s a b` start; undefined when it starts a program (`pnpm exec x`). */
function scriptNames(program: string, words: readonly string[]): { names: string[]; extra: string[] } | undefined {
  const split = words.indexOf('--')
  const own = (split === -1 ? words : words.slice(0, split)).filter((word) => !word.startsWith('-'))
  const extra = split === -1 ? [] : words.slice(split + 1)
  if (program.startsWith('run-') || program === 'npm-run-all') return { names: own, extra: [] }
  const [first, second] = own
  if (first === 'exec' || first === 'dlx' || first === undefined) return undefined
  if (first === 'run' || first === 'run-script') return second === undefined ? undefined : { names: [second], extra }
  if (first === 'test' || first === 't') return { names: ['test'], extra }
  return program === 'npm' ? undefined : { names: [first], extra }
}

type Word = { text: string; pattern: boolean }

/** Commands between `&&`, `||`, `;`; undefined stands for one that can't be read without a shell. */
export function splitScript(script: string): readonly (readonly Word[] | undefined)[] {
  const commands: (Word[] | undefined)[] = []
  let words: Word[] | undefined = []
  let word: Word | undefined
  const endWord = (): void => {
    if (word !== undefined) words?.push(word)
    word = undefined
  }
  const endCommand = (): void => {
    endWord()
    if (words === undefined || words.length > 0) commands.push(words)
    words = []
  }
  for (let at = 0; at < script.length; at += 1) {
    const char = script[at]!
    if (char === "'" || char === '"') {
      const end = closingQuote(script, at)
      if (end === -1) return [undefined]
      const inner = script.slice(at + 1, end)
      if (char === '"' && /[$`]/.test(inner)) words = undefined
      word ??= { text: '', pattern: false }
      word.text += char === '"' ? inner.replace(/\\(["\\])/g, '$1') : inner
      at = end
    } else if (char === '\\' && at + 1 < script.length) {
      word ??= { text: '', pattern: false }
      at += 1
      word.text += script[at]!
    } else if (/\s/.test(char)) {
      endWord()
    } else if (char === ';' || script.startsWith('&&', at) || script.startsWith('||', at)) {
      endCommand()
      if (char !== ';') at += 1
    } else if (/[$`<>|&()]/.test(char)) {
      words = undefined
    } else {
      word ??= { text: '', pattern: false }
      word.text += char
      if (/[*?[]/.test(char)) word.pattern = true
    }
  }
  endCommand()
  return commands
}

function closingQuote(script: string, start: number): number {
  const quote = script[start]!
  for (let at = start + 1; at < script.length; at += 1) {
    if (script[at] === '\\' && quote === '"') at += 1
    else if (script[at] === quote) return at
  }
  return -1
}

/** As `sh` does: `**` is `*`, no dot files, sorted; the word itself when nothing matches. Braces are not a pattern. */
function expandWord(cwd: string, word: Word): readonly string[] {
  if (!word.pattern || /[{}]/.test(word.text) || word.text.startsWith('-')) return [word.text]
  const found = globSync(word.text.replace(/\*{2,}/g, '*'), { cwd })
    .filter(
      (file) =>
        !file
          .split('/')
          .some((part, index) => part.startsWith('.') && !(word.text.split('/')[index] ?? '').startsWith('.')),
    )
    .toSorted()
  return found.length === 0 ? [word.text] : found
}

/** PATH as `npm run` sets it: the project's own programs first, then those of the folders above. */
export function scriptPath(project: Project): string {
  const folders: string[] = []
  for (let folder = project.cwd; ; folder = path.dirname(folder)) {
    const bin = path.join(folder, 'node_modules', '.bin')
    if (existsSync(bin)) folders.push(bin)
    if (path.dirname(folder) === folder) break
  }
  return [...folders, project.env['PATH'] ?? ''].join(path.delimiter)
}
