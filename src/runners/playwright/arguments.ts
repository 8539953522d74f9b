/** The words of a `playwright test` command: options that the run keeps, and file filters. Reporters are Muster's. */
const withValue = new Set(
  (
    '-c --config -g --grep --grep-invert -j --workers --project --retries --timeout --global-timeout --max-failures ' +
    '--output --repeat-each --trace --tsconfig --only-changed --test-list --test-list-invert --update-source-method'
  ).split(' '),
)

export type PlaywrightArgs = {
  readonly options: readonly string[]
  readonly filters: readonly string[]
  /** The user or the script decides the number of workers. */
  readonly workers: boolean
}

export function splitPlaywrightArgs(words: readonly string[]): PlaywrightArgs {
  const options: string[] = []
  const filters: string[] = []
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!
    if (word === '--') continue
    if (!word.startsWith('-')) filters.push(word)
    else if (word === '--reporter') at += 1
    else if (word.startsWith('--reporter=') || word === '--ui' || word === '--debug') continue
    else {
      options.push(word)
      if (withValue.has(word) && at + 1 < words.length) {
        at += 1
        options.push(words[at]!)
      }
    }
  }
  return { options, filters, workers: options.some((word) => /^(-j|--workers)\b/.test(word)) }
}

/** Positional arguments are regular expressions over absolute paths; this one matches one file only. */
export function exactFilter(file: string): string {
  return `/^${escaped(file)}$/g`
}

/** What the filters match (everything, without one), but not these files. Line numbers of filters don't matter to a listing of files. */
export function filterWithout(files: readonly string[], filters: readonly string[]): string {
  const wanted = filters.map((one) => one.replace(/(:\d+){1,2}$/, '').replace(/^\/(.*)\/[gi]*$/, '$1'))
  return `/^(?!(?:${files.map(escaped).join('|')})$).*${wanted.length === 0 ? '' : `(?:${wanted.join('|')})`}/gi`
}

function escaped(file: string): string {
  return file.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}
