/**
 * The import table of ARCHITECTURE.md, enforced. Folder boundaries are the architecture, so the page
 * is the source and this test its reader: it fails on an import that the table doesn't allow, on a
 * folder without a row, on a row without a folder, on a `node:` import where the table says no, and
 * on a cycle between files. Type-only and dynamic imports count like any other: they tie two files
 * together just the same. Fixtures are other people's projects and are left out.
 */
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import path from 'node:path'
import { findCycles } from './cycles.ts'
import { parseTable } from './import-table.ts'
import { readImports } from './imports.ts'

const root = path.join(import.meta.dirname, '..', '..')
const table = parseTable(readFileSync(path.join(root, 'ARCHITECTURE.md'), 'utf8'))
const files = globSync('src/**/*.{ts,mts,cts}', { cwd: root })
  .map((file) => file.split(path.sep).join('/'))
  .filter((file) => !file.includes('/fixtures/'))
  .sort()
const imports = new Map(files.map((file) => [file, readImports(file, readFileSync(path.join(root, file), 'utf8'))]))

const folderOf = (file: string): string => file.split('/')[1] ?? ''
const isTest = (file: string): boolean => file.endsWith('.test.ts')
/** The imported file relative to the root, or undefined for a package. */
const targetOf = (file: string, specifier: string): string | undefined =>
  specifier.startsWith('.') ? path.posix.join(path.posix.dirname(file), specifier) : undefined

test('architecture: every folder of src has a row and every row a folder', () => {
  const folders = [...new Set(files.map(folderOf))].sort()
  assert.deepEqual(folders, [...table.keys()].sort())
})

test('architecture: a row names only folders that have a row', () => {
  for (const [folder, row] of table) {
    for (const name of row.mayImport) assert.ok(table.has(name), `the row of ${folder} names ${name}, which has no row`)
    assert.ok(!row.mayImport.has('testing'), `the row of ${folder} names testing, which nothing may import`)
  }
})

test('architecture: imports stay within the table', () => {
  const violations: string[] = []
  for (const [file, found] of imports) {
    const row = table.get(folderOf(file))
    for (const { specifier, line } of found) {
      const target = targetOf(file, specifier)
      if (target === undefined || row === undefined) continue
      if (!target.startsWith('src/')) {
        // package.json holds the version; whatever else lies outside src is not shipped.
        if (target !== 'package.json' && !isTest(file)) violations.push(`${file}:${line} leaves src: ${specifier}`)
        continue
      }
      const folder = folderOf(target)
      if (folder !== folderOf(file) && !row.mayImport.has(folder)) {
        violations.push(`${file}:${line} ${folderOf(file)} may not import ${folder}: ${specifier}`)
      }
    }
  }
  assert.deepEqual(violations, [])
})

test('architecture: a relative import names what exists, with its extension', () => {
  const missing: string[] = []
  for (const [file, found] of imports) {
    for (const { specifier, line } of found) {
      const target = targetOf(file, specifier)
      if (target === undefined) continue
      if (!existsSync(path.join(root, target))) missing.push(`${file}:${line} ${specifier}`)
    }
  }
  assert.deepEqual(missing, [])
})

test('architecture: folders that also run in a browser import no node: module', () => {
  const violations: string[] = []
  for (const [file, found] of imports) {
    if (isTest(file) || table.get(folderOf(file))?.node !== false) continue
    for (const { specifier, line } of found) {
      if (isBuiltin(specifier)) violations.push(`${file}:${line} ${specifier}`)
    }
  }
  assert.deepEqual(violations, [])
})

test('architecture: no file outside tests imports a test', () => {
  const violations: string[] = []
  for (const [file, found] of imports) {
    for (const { specifier, line } of found) {
      const target = targetOf(file, specifier)
      if (target !== undefined && isTest(target)) violations.push(`${file}:${line} ${specifier}`)
    }
  }
  assert.deepEqual(violations, [])
})

test('architecture: no cycle between files', () => {
  const graph = new Map<string, string[]>()
  for (const [file, found] of imports) {
    const targets = found.map(({ specifier }) => targetOf(file, specifier))
    graph.set(file, targets.filter((target) => target !== undefined && imports.has(target)) as string[])
  }
  assert.deepEqual(
    findCycles(graph).map((cycle) => cycle.join(' → ')),
    [],
  )
})

test('readImports: finds static, type-only, re-exported, dynamic and import-type imports', () => {
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

test('findCycles: names each cycle once, from its first file', () => {
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

test('parseTable: refuses a page without the table', () => {
  assert.throws(() => parseTable('# Architecture\n'), /no table/)
})
