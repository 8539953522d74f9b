/**
 * Finds and loads the plugins that a configuration names: files beside it, in TypeScript or JavaScript, and npm packages in
 * JavaScript. `import … from 'muster/plugin'` leads to the Muster that is running, installed beside the plugin or not. A
 * plugin's own code runs here for the first time; what it does while it is loaded is waited for only so long.
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { findPackageJSON, registerHooks } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import { MusterError } from '../protocol/errors.ts'
import { plainText } from '../stdx/plain-text.ts'
import { prepareGuard } from './guard.ts'
import { Registry } from './registry.ts'
import { removeStain, stainWords } from './stain.ts'

/** `from`: the file that names it, for paths that begin with `.` and for packages; or a directory. */
export type Wanted = {
  readonly plugin: string
  readonly from: string
  /** Who names it, where that is no file: `--plugin`. */
  readonly namedBy?: string
}

const loadMaxMs = 10_000
const entry = new URL(import.meta.url.endsWith('.ts') ? './plugin.ts' : './plugin.js', import.meta.url).href

/** Throws MusterError config_invalid that names the plugin's file. */
export async function loadPlugins(wanted: readonly Wanted[]): Promise<Registry> {
  const registry = new Registry()
  if (wanted.length === 0) return registry
  await prepareGuard()
  const loaded = new Set<string>()
  for (const one of wanted) {
    const file = fileOf(one)
    if (loaded.has(file)) continue
    loaded.add(file)
    const exported = await defaultExport(file)
    try {
      registry.add(file, exported)
    } catch (cause) {
      // Looking at what it is may run its code.
      throw cause instanceof MusterError ? cause : notUsable(`Cannot use plugin ${file}`, file, cause)
    }
  }
  return registry
}

function isPath(plugin: string): boolean {
  return /^\.{0,2}[/\\]/.test(plugin) || path.isAbsolute(plugin)
}

function fileOf({ plugin, from, namedBy = from }: Wanted): string {
  if (isPath(plugin)) {
    const file = path.resolve(path.dirname(from), plugin)
    if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true) {
      throw new MusterError('config_invalid', `Cannot load plugin ${file}: expected a file, received a directory`, {
        hint: `${namedBy} names it; name the file in it that has the plugin.`,
      })
    }
    if (existsSync(file)) return file
    throw new MusterError('config_invalid', `Cannot find plugin ${plugin}: expected a file, there is no ${file}`, {
      hint: `${namedBy} names it.`,
    })
  }
  const described = describedBy(plugin, from)
  if (described === undefined) {
    throw new MusterError(
      'config_invalid',
      `Cannot find plugin ${plugin}: expected a package in a node_modules at or above ${path.dirname(from)}`,
      { hint: `Install it there, or write './${plugin}' if it is a file.` },
    )
  }
  const { exports, main } = JSON.parse(readFileSync(described, 'utf8')) as { exports?: unknown; main?: string }
  const file = path.join(path.dirname(described), entryOf(exports) ?? main ?? 'index.js')
  if (existsSync(file)) return file
  throw new MusterError(
    'config_invalid',
    `Cannot load plugin ${plugin}: expected its entry at ${file}, there is no such file`,
    {
      hint: `'exports' or 'main' in ${described} names it.`,
    },
  )
}

function describedBy(plugin: string, from: string): string | undefined {
  try {
    return findPackageJSON(plugin, pathToFileURL(from))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  }
}

/** What `import` of a package by its name alone leads to. */
function entryOf(exports: unknown): string | undefined {
  if (typeof exports === 'string') return exports
  if (typeof exports !== 'object' || exports === null) return undefined
  const conditions = exports as { readonly [key: string]: unknown }
  if ('.' in conditions) return entryOf(conditions['.'])
  for (const condition of ['node', 'import', 'module-sync', 'default'])
    if (condition in conditions) return entryOf(conditions[condition])
  return undefined
}

async function defaultExport(file: string): Promise<unknown> {
  const hooks = registerHooks({
    resolve: (specifier, context, nextResolve) =>
      specifier === 'muster/plugin' ? { url: entry, shortCircuit: true } : nextResolve(specifier, context),
  })
  const onExit = () => {
    process.stderr.write(`muster: Cannot load plugin ${file}: it ended the process while it was loaded\n`)
    process.exitCode = 2
  }
  process.once('exit', onExit)
  try {
    const module = await inTime(file, import(pathToFileURL(file).href) as Promise<{ readonly default?: unknown }>)
    const stain = removeStain()
    if (stain !== undefined) {
      throw new MusterError('config_invalid', `Cannot use plugin ${file}: ${stainWords(stain)}`, {
        hint: 'Everything else in the coordinator would see that, too.',
      })
    }
    if (module.default !== undefined) return module.default
    throw new MusterError('config_invalid', `Cannot use plugin ${file}: expected a default export, received none`, {
      hint: "Write 'export default definePlugin({ name, schedulers: [] })'.",
    })
  } catch (cause) {
    if (cause instanceof MusterError) throw cause
    throw notUsable(`Cannot load plugin ${file}`, file, cause)
  } finally {
    process.off('exit', onExit)
    hooks.deregister()
  }
}

const hints: Readonly<Record<string, string>> = {
  ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING:
    'Below node_modules Node takes JavaScript only: publish the plugin compiled.',
  ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX:
    'Types are removed and nothing is translated: no enums, namespaces, or parameters that are properties.',
  ERR_MODULE_NOT_FOUND: 'What a plugin imports is looked for from its own folder; relative paths end in .ts or .js.',
  ERR_UNKNOWN_FILE_EXTENSION: 'Plugins are .ts, .mts, .js or .mjs files.',
  ERR_IMPORT_ATTRIBUTE_MISSING: 'Plugins are .ts, .mts, .js or .mjs files.',
}

/** `cause` is whatever a plugin threw. */
function notUsable(what: string, file: string, cause: unknown): MusterError {
  const { code, stack } = cause instanceof Error ? (cause as NodeJS.ErrnoException) : {}
  const hint = code === undefined ? undefined : hints[code]
  const words = cause instanceof Error ? `${cause.name}: ${cause.message}` : `it threw ${inspect(cause)}`
  return new MusterError('config_invalid', `${what}: ${plainText(words)}${placeIn(file, stack)}`, {
    cause,
    ...(hint === undefined ? {} : { hint }),
  })
}

/** The first line of the file that a stack names: `path:LINE` above what can't be parsed, `path:LINE:COLUMN` elsewhere. */
function placeIn(file: string, stack: string | undefined): string {
  for (const name of [pathToFileURL(file).href, file]) {
    const at = stack?.indexOf(`${name}:`) ?? -1
    const line = at < 0 ? undefined : /^\d+/.exec(stack!.slice(at + name.length + 1))?.[0]
    if (line !== undefined) return `, at line ${line}`
  }
  return ''
}

function inTime<Value>(file: string, work: Promise<Value>): Promise<Value> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    late.reject(
      new MusterError(
        'config_invalid',
        `Cannot load plugin ${file}: expected it to be loaded within ${loadMaxMs / 1000} s`,
      ),
    )
  }, loadMaxMs)
  return Promise.race([work, late.promise]).finally(() => clearTimeout(timer))
}
