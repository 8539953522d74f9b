/**
 * `muster.config.*`: finds it, loads it, checks it. TypeScript is run as it is by Node's type stripping.
 * `import { defineConfig } from 'muster'` works in a project without Muster in its node_modules too: the name
 * then leads to the Muster that is running.
 *
 * Only the working directory is looked in. Most projects need no configuration at all.
 */
import { readFile } from 'node:fs/promises'
import { registerHooks } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { MusterError } from '../protocol/errors.ts'
import type { MusterConfig } from './config-types.ts'

export type { MusterConfig, RuleConfig, SuiteConfig } from './config-types.ts'

export type LoadedConfig = MusterConfig & {
  /** Absolute path. */
  readonly file: string
}

/** Gives editors the type; returns what it was given. */
export function defineConfig(config: MusterConfig): MusterConfig {
  return config
}

const names = ['ts', 'mts', 'js', 'mjs', 'cjs', 'json'].map((extension) => `muster.config.${extension}`)

/** Undefined when the directory has none. Throws MusterError config_invalid. */
export async function loadConfig(cwd: string, entries: ReadonlySet<string>): Promise<LoadedConfig | undefined> {
  const found = names.filter((name) => entries.has(name))
  if (found.length > 1) {
    throw new MusterError(
      'config_invalid',
      `Cannot choose a configuration: expected one file, found ${found.join(' and ')}`,
      {
        hint: 'Keep one of them.',
      },
    )
  }
  const name = found[0]
  if (name === undefined) return undefined
  const file = path.join(cwd, name)
  const value = name.endsWith('.json') ? await readJson(file) : await importConfig(file)
  const { checkConfig } = await import('./config-schema.ts')
  return { ...checkConfig(file, value), file }
}

async function readJson(file: string): Promise<unknown> {
  const source = await readFile(file, 'utf8')
  try {
    return JSON.parse(source) as unknown
  } catch (cause) {
    throw new MusterError('config_invalid', `Cannot read ${file}: expected JSON, ${(cause as Error).message}`, {
      cause,
    })
  }
}

async function importConfig(file: string): Promise<unknown> {
  const hooks = registerHooks({
    resolve(specifier, context, nextResolve) {
      if (specifier !== 'muster') return nextResolve(specifier, context)
      try {
        return nextResolve(specifier, context)
      } catch {
        // Not installed beside the configuration: the running Muster answers.
        return { url: import.meta.url, shortCircuit: true }
      }
    },
  })
  const warn = process.emitWarning.bind(process)
  const before = Object.getOwnPropertyDescriptor(process, 'emitWarning')!
  // Node warns that a .ts or .js file's package.json names no module type; for one small file that is no news.
  process.emitWarning = ((warning: string | Error, ...rest: unknown[]) => {
    if (!String(warning).includes('Module type of')) (warn as (...all: unknown[]) => void)(warning, ...rest)
  }) as typeof process.emitWarning
  try {
    const module = (await import(pathToFileURL(file).href)) as { readonly default?: unknown }
    if (module.default === undefined) {
      throw new MusterError('config_invalid', `Cannot use ${file}: expected a default export, received none`, {
        hint: "Write 'export default { suites: [] }'.",
      })
    }
    return module.default
  } catch (cause) {
    if (cause instanceof MusterError) throw cause
    const { name, message, stack } = cause as Error
    const frame =
      stack
        ?.split('\n')
        .find((line) => line.includes(file))
        ?.trim() ?? ''
    throw new MusterError('config_invalid', `Cannot load ${file}: ${name}: ${message} ${frame}`.trimEnd(), { cause })
  } finally {
    Object.defineProperty(process, 'emitWarning', before)
    hooks.deregister()
  }
}
