/** Vitest's command line, taken apart just enough to tell options from the filters they stand beside. */

export type VitestArgs = { readonly options: readonly string[]; readonly filters: readonly string[] }

/** Options that take the next word as their value (majors 2 to 5). Others only take `--name=value`, or their value is optional. */
const withValue = new Set(
  (
    '--root -r --config -c --testNamePattern -t --dir --reporter --outputFile --mode --pool ' +
    '--environment --maxWorkers --minWorkers --testTimeout --hookTimeout --teardownTimeout --bail --retry ' +
    '--repeats --exclude --project -p --maxConcurrency --shard --workspace --execArgv --vmMemoryLimit ' +
    '--slowTestThreshold --configLoader --diff --attachmentsDir --tagsFilter --browser.name --coverage.provider ' +
    '--coverage.reporter --coverage.include --coverage.exclude --coverage.reportsDirectory --sequence.seed --sequence.hooks ' +
    '--typecheck.tsconfig --typecheck.checker --poolOptions.forks.maxForks --poolOptions.threads.maxThreads --fsModuleCachePath'
  ).split(' '),
)
/** These take the next word unless it is another option. */
const withOptionalValue = new Set([
  '--silent',
  '--changed',
  '--update',
  '-u',
  '--browser',
  '--api',
  '--inspect',
  '--inspectBrk',
])

export function splitVitestArgs(words: readonly string[]): VitestArgs {
  const options: string[] = []
  const filters: string[] = []
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!
    const next = words[at + 1]
    if (word === '--') return { options, filters: [...filters, ...words.slice(at + 1)] }
    if (!word.startsWith('-')) {
      filters.push(word)
      continue
    }
    options.push(word)
    const takesNext = withValue.has(word) || (withOptionalValue.has(word) && isPlainValue(next))
    if (takesNext && next !== undefined) {
      options.push(next)
      at += 1
    }
  }
  return { options, filters }
}

/** `-u src/a` names a file and `-u all` doesn't: what looks like a path is left to be a filter. */
function isPlainValue(word: string | undefined): boolean {
  return word !== undefined && /^(true|false|new|all|none|passed-only|\d+)$/.test(word)
}

/** What a project's test script adds to every run. Watching, reporting and coverage are for the caller to decide. */
const notFromScript =
  /^--?(w|watch|run|ui|open|reporter|outputFile|shard|coverage(\..*)?|silent|no-watch|standalone|clearScreen)(=|$)/
const commands = new Set(['run', 'watch', 'dev'])
const otherCommands = new Set(['bench', 'list', 'related', 'init', 'typecheck', 'complete', 'doctor'])

/** The script's words after `vitest`; undefined when they start something else than a test run. */
export function readScriptArgs(words: readonly string[]): VitestArgs | undefined {
  const [first] = words
  if (first !== undefined && otherCommands.has(first)) return undefined
  const { options, filters } = splitVitestArgs(first !== undefined && commands.has(first) ? words.slice(1) : words)
  const kept: string[] = []
  for (let at = 0; at < options.length; at += 1) {
    const option = options[at]!
    const value = options[at + 1]
    const hasValue = value !== undefined && !value.startsWith('-')
    if (!notFromScript.test(option)) kept.push(option, ...(hasValue ? [value] : []))
    if (hasValue) at += 1
  }
  return { options: kept, filters }
}

/** `file.test.ts:12` runs the test on that line; the file without it, or undefined. */
export function fileOfLineFilter(filter: string): string | undefined {
  return /^(.+):\d+$/.exec(filter)?.[1]
}
