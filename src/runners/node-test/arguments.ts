/**
 * The words of a `node --test` command, sorted by what becomes of them under Muster: options that the run keeps, patterns of files, and
 * what Muster decides itself (reporters, concurrency) or leaves out (coverage: a batch sees only a part of the code).
 */
const withValue = new Set([
  '-r', '--require', '--import', '--loader', '--experimental-loader', '-C', '--conditions', '--env-file', '--env-file-if-exists',
  '--test-name-pattern', '--test-skip-pattern', '--test-timeout', '--test-isolation', '--experimental-test-isolation',
  '--test-global-setup', '--max-old-space-size', '--test-random-seed',
]) // prettier-ignore
const dropped = /^--(test-reporter|test-reporter-destination|test-concurrency|test-coverage-\w+)$/
const droppedFlags = new Set(['--test', '--experimental-test-coverage', '--watch', '--no-experimental-test-coverage'])

export type NodeTestArgs = {
  readonly options: readonly string[]
  readonly patterns: readonly string[]
  /** `--test-concurrency`, when given. */
  readonly concurrency?: number
}

export function splitNodeTestArgs(words: readonly string[]): NodeTestArgs {
  const options: string[] = []
  const patterns: string[] = []
  let concurrency: number | undefined
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!
    const [name = word, inline] = word.startsWith('--') && word.includes('=') ? splitOnce(word) : [word]
    if (word === '--') {
      patterns.push(...words.slice(at + 1))
      break
    }
    if (!word.startsWith('-')) patterns.push(word)
    else if (dropped.test(name)) {
      const value = inline ?? words[(at += 1)]
      if (name === '--test-concurrency' && Number(value) > 0) concurrency = Number(value)
    } else if (!droppedFlags.has(name)) {
      options.push(word)
      if (inline === undefined && withValue.has(name) && at + 1 < words.length) options.push(words[(at += 1)]!)
    }
  }
  return { options, patterns, ...(concurrency === undefined ? {} : { concurrency }) }
}

function splitOnce(word: string): [string, string] {
  const at = word.indexOf('=')
  return [word.slice(0, at), word.slice(at + 1)]
}

/** `node --test` reads names as patterns since version 21: characters that mean something are put into a class (braces don't allow that: any character will do). */
export function asPattern(file: string): string {
  return file.replace(/[[\]()*?!+@]/g, (char) => `[${char}]`).replace(/[{}]/g, '?')
}
