import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { MusterError } from '../protocol/errors.ts'
import { loadPlugins } from './load.ts'
import type { Registry } from './registry.ts'

/** Loads `plugins` as a coordinator.json beside these files would name them. */
async function load(files: Readonly<Record<string, string>>, plugins: readonly string[]): Promise<Registry> {
  const directory = await mkdtemp(path.join(tmpdir(), 'muster-plugins-'))
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(path.dirname(path.join(directory, name)), { recursive: true })
      await writeFile(path.join(directory, name), text)
    }
    const from = path.join(directory, 'coordinator.json')
    return await loadPlugins(plugins.map((plugin) => ({ plugin, from })))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** A plugin of one scheduler; the words may override anything. */
const plugin = (scheduler: string, more = ''): string => `
import { definePlugin } from 'muster/plugin'
export default { ...definePlugin({ name: 'mine', schedulers: [{ name: 'mine', description: 'x', order: (runs) => runs, ${scheduler} }] }), ${more} }
`

test('loadPlugins: TypeScript beside the configuration, JavaScript of a package, each once', async () => {
  const registry = await load(
    {
      'a/mine.ts': `${plugin('')}\nexport const typed: number = 1`,
      'node_modules/other/package.json':
        '{"name": "other", "type": "module", "exports": {"node": {"default": "./lib/x.js"}}}',
      'node_modules/other/lib/x.js': plugin("name: 'theirs'", "version: '2.0.0'"),
    },
    ['./a/mine.ts', './a/../a/mine.ts', 'other'],
  )
  assert.match(registry.get('mine')!.source!.file, /\/a\/mine\.ts$/)
  const { source } = registry.get('theirs')!
  assert.deepEqual([source!.plugin, source!.version], ['mine', '2.0.0'])
  assert.equal(registry.default.name, 'history')
})

test('loadPlugins: without any, there are the built-in ones', async () => {
  assert.deepEqual((await load({}, [])).names.slice(0, 5), ['history', 'fifo', 'priority', 'deadline', 'fair-share'])
})

for (const [what, text, words] of [
  ['no default export', 'export const a = 1', /Cannot use plugin \S+p\.ts: expected a default export, received none/],
  ['no plugin', 'export default 3', /its default export of plugin \S+p\.ts: expected an object made by definePlugin/],
  ['code that throws', 'throw new TypeError("oh")', /Cannot load plugin \S+p\.ts: TypeError: oh/],
  ['code that throws, at its line', '\n\nthrow new Error("oh")', /Cannot load plugin \S+p\.ts: Error: oh, at line 3$/],
  ['code that throws words', 'throw "oh"', /Cannot load plugin \S+p\.ts: it threw 'oh'$/],
  ['code that throws nothing', 'throw null', /Cannot load plugin \S+p\.ts: it threw null$/],
  ['code that is none', '\nexport default { a:,', /Cannot load plugin \S+p\.ts: SyntaxError.*, at line 2$/],
  [
    'code that throws when it is looked at',
    'export default { get contract() { throw new Error("oh") } }',
    /Cannot use.* oh/,
  ],
  ['a number where a name is', plugin('', 'name: 1n'), /Cannot use name of plugin \S+p\.ts: .*received 1$/],
  [
    'a decision that is not made at once',
    plugin('order: async (runs) => runs'),
    /\.order .*received an async function$/,
  ],
  [
    'what changes all objects',
    `Object.prototype.evil = 1\n${plugin('')}`,
    /Cannot use plugin \S+p\.ts: expected the prototypes .* received 'evil'/,
  ],
  ['a wrong name', plugin("name: 'Mine'"), /schedulers\[0\]\.name of plugin \S+p\.ts: expected lower-case letters/],
  [
    'a name that Muster has',
    plugin("name: 'fifo'"),
    /expected a name that is free \(Muster itself has it\), received "fifo"/,
  ],
  [
    'no description',
    plugin("description: ''"),
    /schedulers\[0\]\.description .*expected one line of text, received ""/,
  ],
  [
    'a description that acts on a terminal',
    plugin(String.raw`description: '\u001b[31mred'`),
    /schedulers\[0\]\.description .*expected one line of text, received "\\u001b\[31mred"/,
  ],
  [
    'nothing that decides',
    plugin('order: undefined'),
    /expected a function order\(runs, view, config\) or a function place/,
  ],
  ['both ways to decide', plugin('place: () => []'), /expected one of order and place/],
  ['a wrong turn', plugin("turn: 'both'"), /schedulers\[0\]\.turn .*expected 'run' or 'batch', received "both"/],
  ['an unknown key', plugin('speed: 1'), /schedulers\[0\]\.speed .*expected one of name, description/],
  [
    'a configuration schema that is none',
    plugin("configSchema: { type: 'objekt' }"),
    /Cannot use schedulers\[0\] of plugin \S+p\.ts: expected configSchema to be a JSON Schema, .*type/,
  ],
  [
    'a newer contract',
    plugin('', 'contract: 2'),
    /contract of plugin \S+p\.ts: expected 1, the version of.*received 2/,
  ],
] as const) {
  test(`loadPlugins: refuses ${what}`, async () => {
    await assert.rejects(load({ 'p.ts': text }, ['./p.ts']), { code: 'config_invalid', message: words })
  })
}

test('loadPlugins: refuses what is not there, two of one name, and TypeScript in a package', async () => {
  const refused = (files: Record<string, string>, plugins: readonly string[], message: RegExp) =>
    assert.rejects(load(files, plugins), { code: 'config_invalid', message })
  await refused({}, ['./none.ts'], /Cannot find plugin \.\/none\.ts: expected a file, there is no \S+none\.ts/)
  await refused({}, ['no-such-package'], /Cannot find plugin no-such-package: expected a package in a node_modules/)
  await refused({ 'a.ts': plugin(''), 'b.ts': plugin('') }, ['./a.ts', './b.ts'], /b\.ts: .*free \(\S+a\.ts has it\)/)
  const described = '{"name": "typed", "type": "module", "main": "main.ts"}'
  const typed = { 'node_modules/typed/package.json': described, 'node_modules/typed/main.ts': plugin('') }
  await refused(typed, ['typed'], /Cannot load plugin \S+main\.ts: .*node_modules/)
})

test('loadPlugins: what can not be loaded says what to do', async () => {
  const hinted = (text: string, hint: RegExp) =>
    assert.rejects(load({ 'p.ts': text }, ['./p.ts']), (error: MusterError) => hint.test(error.hint ?? ''))
  await hinted('enum A { B }\nexport default A', /no enums, namespaces/)
  await hinted("import x from './none.ts'\nexport default x", /looked for from its own folder/)
  await assert.rejects(load({ 'p/a.ts': '' }, ['./p']), { message: /expected a file, received a directory/ })
  await assert.rejects(load({ 'p.txt': '' }, ['./p.txt']), (error: MusterError) => /\.ts, \.mts/.test(error.hint ?? ''))
})

test('loadPlugins: one that ends the process while it is loaded is named', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'muster-plugins-'))
  try {
    await writeFile(path.join(directory, 'p.mjs'), 'process.exit(0)')
    const url = new URL('./load.ts', import.meta.url).href
    const from = JSON.stringify(path.join(directory, 'coordinator.json'))
    const code = `const { loadPlugins } = await import('${url}'); await loadPlugins([{ plugin: './p.mjs', from: ${from} }])`
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', code], {
      encoding: 'utf8',
    })
    assert.equal(status, 2)
    assert.match(stderr, /Cannot load plugin \S+p\.mjs: it ended the process while it was loaded/)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
