/** What a `borp` command and its `.borp.yaml` mean in words of `node --test`. Coverage and reporters are left out. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { splitNodeTestArgs } from './arguments.ts'

const defaultPattern = '**/*.test.{js,mjs,cjs,ts,mts,cts}'
const defaultTimeoutMs = '30000'

type Borp = { options: readonly string[]; patterns: readonly string[]; ignore: readonly string[]; concurrency?: number }

export async function readBorp(cwd: string, args: readonly string[]): Promise<Borp> {
  const config = await readConfig(cwd)
  const { values, positionals } = parseArgs({
    args: [...args, ...config.args],
    strict: false,
    options: {
      only: { type: 'boolean', short: 'o' },
      pattern: { type: 'string', short: 'p' },
      concurrency: { type: 'string', short: 'c' },
      coverage: { type: 'boolean', short: 'C' },
      timeout: { type: 'string', short: 't' },
      'no-timeout': { type: 'boolean' },
      'coverage-exclude': { type: 'string', short: 'X', multiple: true },
      ignore: { type: 'string', short: 'i', multiple: true },
      reporter: { type: 'string', short: 'r', multiple: true },
      'expose-gc': { type: 'boolean' },
      lines: { type: 'string' },
      branches: { type: 'string' },
      functions: { type: 'string' },
      statements: { type: 'string' },
    },
  })
  const files = [...positionals, ...config.files]
  const timeout = typeof values.timeout === 'string' ? values.timeout : defaultTimeoutMs
  const options = [
    ...(values.only === true ? ['--test-only'] : []),
    ...(values['expose-gc'] === true ? ['--expose-gc'] : []),
    ...(values['no-timeout'] === true ? [] : [`--test-timeout=${timeout}`]),
  ]
  const concurrency = Number(values.concurrency)
  const pattern = typeof values.pattern === 'string' ? values.pattern : defaultPattern
  const included = files.filter((file) => !file.startsWith('!'))
  const excluded = files.filter((file) => file.startsWith('!')).map((file) => file.slice(1))
  const ignored = (Array.isArray(values.ignore) ? values.ignore : []).filter((one) => typeof one === 'string')
  return {
    options: splitNodeTestArgs(options).options,
    patterns: included.length > 0 ? included : [pattern],
    ignore: [...ignored, ...excluded],
    ...(concurrency > 0 ? { concurrency } : {}),
  }
}

/** The two keys that borp reads, each a list (or `reporters`, which doesn't matter here); YAML's block form only. */
async function readConfig(cwd: string): Promise<{ files: string[]; args: string[] }> {
  for (const name of ['.borp.yaml', '.borp.yml']) {
    const text = await readFile(path.join(cwd, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (text !== undefined) return { files: listUnder(text, 'files'), args: [] }
  }
  return { files: [], args: [] }
}

function listUnder(text: string, key: string): string[] {
  const found: string[] = []
  let inside = false
  for (const line of text.split('\n')) {
    const item = /^\s*-\s+(.*?)\s*$/.exec(line)
    if (/^\S/.test(line) && item === null) inside = line.startsWith(`${key}:`)
    else if (inside && item !== null) found.push(item[1]!.replace(/^(['"])(.*)\1$/, '$2'))
  }
  return found
}
