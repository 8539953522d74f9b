/** What a command loads before it does anything: libraries that only a coordinator needs cost every other command time. */
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { globSync } from 'node:fs'
import path from 'node:path'

const commands = path.join(import.meta.dirname, 'commands')
/** These have a coordinator in their own process, or read what one keeps. */
const coordinators = ['daemon', 'serve', 'log']
const heavy = ['typebox', 'ajv', 'fastify', 'prom-client', '@opentelemetry/api', 'string-width']

/** Loads modules and prints, as lines, which of them asked for what is heavy, and whether Node's own fetch is there. */
const program = `
  import { registerHooks } from 'node:module'
  const [heavy, ...modules] = JSON.parse(process.argv[1])
  registerHooks({
    resolve(specifier, context, next) {
      const is = (name) => specifier === name || specifier.startsWith(name + '/')
      if (heavy.some(is) && !context.parentURL.includes('/node_modules/')) console.log(context.parentURL, specifier)
      return next(specifier, context)
    },
  })
  for (const module of modules) await import(module)
  if (process.moduleLoadList.some((name) => name.endsWith('/undici/undici'))) console.log('fetch')
`

function loadedBy(files: readonly string[]): string[] {
  const given = JSON.stringify([heavy, ...files.map((file) => path.join(commands, file))])
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program, given]
  return execFileSync(process.execPath, args, { encoding: 'utf8' }).split('\n').filter(Boolean)
}

test('commands: only those that start a coordinator load its libraries', () => {
  const all = globSync('*.ts', { cwd: commands }).filter((file) => !file.endsWith('.test.ts'))
  const others = all.filter((file) => !coordinators.includes(path.basename(file, '.ts')))
  // Loaded by `muster run` where there is a configuration.
  const later = ['../../runners/config-schema.ts']
  assert.deepEqual(loadedBy([...others, ...later]), [])
  const theirs = loadedBy(coordinators.map((name) => `${name}.ts`))
  assert.notDeepEqual(theirs, [])
  assert.ok(!theirs.includes('fetch'), theirs.join('\n'))
})
