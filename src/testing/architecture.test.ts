/**
 * The import table of ARCHITECTURE.md, enforced: folder boundaries are the architecture, so the page
 * is the source and this test its reader. Each rule is then proved on a planted violation. Fixtures
 * are other people's projects and are left out.
 */
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { brokenImports, brokenRows, cyclesOf, type Imports } from './architecture.ts'
import { findCycles } from './cycles.ts'
import { parseTable } from './import-table.ts'
import { readImports } from './imports.ts'

const root = path.join(import.meta.dirname, '..', '..')
const table = parseTable(readFileSync(path.join(root, 'ARCHITECTURE.md'), 'utf8'))
const exists = (file: string): boolean => existsSync(path.join(root, file))
const files = globSync('src/**/*.{ts,mts,cts}', { cwd: root })
  .map((file) => file.split(path.sep).join('/'))
  .filter((file) => !file.includes('/fixtures/'))
  .sort()
const imports: Imports = new Map(
  files.map((file) => [file, readImports(file, readFileSync(path.join(root, file), 'utf8'))]),
)

test('architecture: every folder of src has a row and every row a folder', () => {
  assert.deepEqual(brokenRows(table, imports), [])
})

test('architecture: every import is allowed by the table', () => {
  assert.deepEqual(brokenImports(table, imports, exists), [])
})

test('architecture: no cycle between files', () => {
  assert.deepEqual(cyclesOf(imports), [])
})

const smallTable = parseTable(
  [
    '| folder | purpose | may import | `node:` |',
    '|---|---|---|---|',
    '| `core` | heart | stdx | no |',
    '| `shell` | round it | core, stdx | yes |',
    '| `stdx` | rest | – | no |',
  ].join('\n'),
)
const planted = (sources: Record<string, string>): Imports =>
  new Map(Object.entries(sources).map(([file, source]) => [file, readImports(file, source)]))

test('brokenRows: finds a folder without a row and a row without a folder', () => {
  const found = brokenRows(smallTable, planted({ 'src/core/a.ts': '', 'src/shell/b.ts': '', 'src/extra/c.ts': '' }))
  assert.deepEqual(found, ['src/extra has no row', 'the row of stdx has no folder'])
})

test('brokenImports: finds each kind of forbidden import, also by type and dynamic', () => {
  const sources = {
    'src/core/a.ts': "import '../shell/b.ts'\nimport type { B } from '../shell/b.ts'\nawait import('../shell/b.ts')",
    'src/core/b.ts': "import 'node:fs'\nimport 'path'\nimport 'typebox'",
    'src/shell/b.ts': "import 'node:fs'\nimport '../core/a.ts'\nimport '../../bench/log.ts'\nimport './gone.ts'",
    'src/shell/c.ts': "import './c.test.ts'",
    'src/shell/c.test.ts': "import '../../bench/log.ts'",
  }
  const there = (file: string): boolean => file in sources || file === 'bench/log.ts'
  assert.deepEqual(brokenImports(smallTable, planted(sources), there), [
    'src/core/a.ts:1 core may not import shell: ../shell/b.ts',
    'src/core/a.ts:2 core may not import shell: ../shell/b.ts',
    'src/core/a.ts:3 core may not import shell: ../shell/b.ts',
    'src/core/b.ts:1 core may not import node modules: node:fs',
    'src/core/b.ts:2 core may not import node modules: path',
    'src/shell/b.ts:3 this leaves src: ../../bench/log.ts',
    'src/shell/b.ts:4 there is no such file: ./gone.ts',
    'src/shell/c.ts:1 a test may not be imported: ./c.test.ts',
  ])
})

test('cyclesOf: a type-only import closes a cycle too', () => {
  const found = cyclesOf(
    planted({ 'src/core/a.ts': "import './b.ts'", 'src/core/b.ts': "import type { A } from './a.ts'" }),
  )
  assert.deepEqual(found, ['src/core/a.ts → src/core/b.ts → src/core/a.ts'])
})

test('readImports: finds static, type-only, re-exported and dynamic imports, import types and URLs', () => {
  const source = [
    "import a from './a.ts'",
    "import type { B } from './b.ts'",
    "export { c } from './c.ts'",
    "export * from './d.ts'",
    "const e = await import('./e.ts')",
    "type F = import('./f.ts').F",
    'const text = "import g from \'./g.ts\'"',
    "new URL('./h.ts', import.meta.url)",
  ].join('\n')
  const found = readImports('x.ts', source).map(({ specifier, line }) => `${line} ${specifier}`)
  assert.deepEqual(found, ['1 ./a.ts', '2 ./b.ts', '3 ./c.ts', '4 ./d.ts', '5 ./e.ts', '6 ./f.ts', '8 ./h.ts'])
})

test('findCycles: names each cycle from its first file', () => {
  const graph = new Map([
    ['a', ['b']],
    ['b', ['c', 'd']],
    ['c', ['a']],
    ['d', []],
    ['e', ['e']],
  ])
  assert.deepEqual(findCycles(graph), [
    ['a', 'b', 'c', 'a'],
    ['e', 'e'],
  ])
})

test('parseTable: refuses a page without the table, and a row it cannot read', () => {
  assert.throws(() => parseTable('# Architecture\n'), /no table/)
  assert.throws(
    () => parseTable('| folder | purpose | may import | `node:` |\n|---|---|---|---|\n| core | x | – | no |'),
    /row/,
  )
})
