/** mocha's command line, taken apart just enough to tell options from the files they stand beside. */

/** Options that take the next word as their value (mocha 10 to 12), with their aliases. */
const withValue = new Set(
  [
    'extension,file,global,globals,ignore,exclude,node-option,reporter-option,reporter-options,require,spec,watch-files,watch-ignore',
    'retries,jobs,config,fgrep,grep,package,reporter,ui,slow,timeout,timeouts',
  ]
    .join(',')
    .split(',')
    .map((name) => `--${name}`)
    .concat('-n,-O,-r,-j,-f,-g,-R,-u,-s,-t'.split(',')),
)

export type MochaArgs = { readonly options: readonly string[]; readonly specs: readonly string[] }

export function splitMochaArgs(words: readonly string[]): MochaArgs {
  const options: string[] = []
  const specs: string[] = []
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!
    if (word === '--') {
      specs.push(...words.slice(at + 1))
      break
    }
    if (word === '--spec') {
      const value = words[at + 1]
      if (value !== undefined) specs.push(value)
      at += 1
    } else if (word.startsWith('--spec=')) specs.push(word.slice('--spec='.length))
    else if (!word.startsWith('-')) specs.push(word)
    else {
      options.push(word)
      if (withValue.has(word) && at + 1 < words.length) {
        at += 1
        options.push(words[at]!)
      }
    }
  }
  return { options, specs }
}
