/** Jest's command line, taken apart just enough to tell options from the patterns they stand beside. */

export type JestArgs = { readonly options: readonly string[]; readonly patterns: readonly string[] }

/** Options that take the next word (29 and 30). */
const withValue = new Set(
  (
    '--bail -b --cacheDirectory --changedSince --config -c --coverageDirectory --coverageProvider --coverageThreshold ' +
    '--env --filter --globalSetup --globalTeardown --globals --haste --maxConcurrency --maxWorkers -w ' +
    '--moduleNameMapper --notifyMode --openHandlesTimeout --outputFile --preset --prettierPath --randomize --resolver ' +
    '--rootDir --runner --seed --shard --testEnvironment --testEnvironmentOptions --testFailureExitCode --testNamePattern ' +
    '-t --testResultsProcessor --testRunner --testSequencer --testTimeout --transform --workerIdleMemoryLimit'
  ).split(' '),
)
/** Options that take every word up to the next option. */
const withValues = new Set(
  (
    '--collectCoverageFrom --coveragePathIgnorePatterns --coverageReporters --ignoreProjects --moduleDirectories ' +
    '--moduleFileExtensions --modulePathIgnorePatterns --modulePaths --projects --reporters --roots --selectProjects ' +
    '--setupFiles --setupFilesAfterEnv --snapshotSerializers --testMatch --testPathIgnorePatterns --testPathPattern ' +
    '--testPathPatterns --testRegex --transformIgnorePatterns --unmockedModulePathPatterns --watchPathIgnorePatterns'
  ).split(' '),
)

export function splitJestArgs(words: readonly string[]): JestArgs {
  const options: string[] = []
  const patterns: string[] = []
  let at = 0
  const isPlain = (word: string | undefined): boolean => word !== undefined && !word.startsWith('-')
  while (at < words.length) {
    const word = words[at]!
    at += 1
    if (word === '--') {
      patterns.push(...words.slice(at))
      break
    }
    if (!word.startsWith('-')) {
      patterns.push(word)
      continue
    }
    options.push(word)
    // `--bail` and `--randomize` may stand alone before a pattern; a number is theirs.
    const optional = word === '--bail' || word === '-b' || word === '--randomize'
    if (withValue.has(word) && isPlain(words[at]) && (!optional || /^(\d+|true|false)$/.test(words[at]!))) {
      options.push(words[at]!)
      at += 1
    } else if (withValues.has(word) || isArrayWithEquals(word)) {
      while (isPlain(words[at])) {
        options.push(words[at]!)
        at += 1
      }
    }
  }
  return { options, patterns }
}

/** `--projects=a b` takes b too. */
function isArrayWithEquals(word: string): boolean {
  return word.includes('=') && withValues.has(word.slice(0, word.indexOf('=')))
}

/** What a test script says that is for the caller to decide: watching, reporting, coverage, writing snapshots. */
const notFromScript =
  /^--?(watch|watchAll|coverage\w*|collectCoverage|reporters|json|outputFile|shard|updateSnapshot|u|verbose|notify|listTests|no-watch)(=|$)/
/** What chooses files; a batch with a list of files has been through that. */
const selecting =
  /^--?(onlyChanged|o|lastCommit|changedSince|changedFilesWithAncestor|onlyFailures|f|findRelatedTests|testPathPatterns?|runTestsByPath)(=|$)/

export function readScriptArgs(words: readonly string[]): JestArgs {
  const { options, patterns } = splitJestArgs(words)
  return { options: without(options, notFromScript), patterns }
}

export function withoutSelection(options: readonly string[]): readonly string[] {
  return without(options, selecting)
}

/** Leaves out matching options with the values that follow them. */
function without(options: readonly string[], pattern: RegExp): readonly string[] {
  const kept: string[] = []
  let dropping = false
  for (const word of options) {
    if (word.startsWith('-')) dropping = pattern.test(word)
    if (!dropping) kept.push(word)
  }
  return kept
}

export function hasSelection(options: readonly string[]): boolean {
  return options.some((word) => selecting.test(word) && !/^--testPathPatterns?/.test(word))
}
