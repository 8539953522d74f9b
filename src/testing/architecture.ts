/**
 * The rules of ARCHITECTURE.md as a function from the table and the imports of all files to what
 * breaks them. Pure, so that a planted violation of each rule can be tested. Type-only and dynamic
 * imports count like any other: they tie two files together just the same.
 */
import { isBuiltin } from 'node:module'
import path from 'node:path'
import { findCycles } from './cycles.ts'
import type { Row } from './import-table.ts'
import type { Import } from './imports.ts'

/** File (POSIX, from the root, as `src/core/run.ts`) → what it names. */
export type Imports = ReadonlyMap<string, readonly Import[]>
type Table = ReadonlyMap<string, Row>

const folderOf = (file: string): string => file.split('/')[1] ?? ''
const isTest = (file: string): boolean => file.endsWith('.test.ts')
/** The imported file relative to the root, or undefined for a package. */
const targetOf = (file: string, specifier: string): string | undefined =>
  specifier.startsWith('.') ? path.posix.join(path.posix.dirname(file), specifier) : undefined

/** One line for each folder without a row, row without a folder, and row that names what has no row. */
export function brokenRows(table: Table, imports: Imports): string[] {
  const folders = new Set([...imports.keys()].map(folderOf))
  const broken: string[] = []
  for (const folder of folders) if (!table.has(folder)) broken.push(`src/${folder} has no row`)
  for (const [folder, row] of table) {
    if (!folders.has(folder)) broken.push(`the row of ${folder} has no folder`)
    for (const name of row.mayImport) {
      if (!table.has(name)) broken.push(`the row of ${folder} names ${name}, which has no row`)
      if (name === 'testing') broken.push(`the row of ${folder} names testing, which nothing may import`)
    }
  }
  return broken.sort()
}

/** One line for each import that the table doesn't allow. `exists` tells whether a path from the root does. */
export function brokenImports(table: Table, imports: Imports, exists: (file: string) => boolean): string[] {
  const broken: string[] = []
  for (const [file, found] of imports) {
    const row = table.get(folderOf(file))
    if (row === undefined) continue
    for (const { specifier, line } of found) {
      const problem = problemOf(file, row, specifier, exists)
      if (problem !== undefined) broken.push(`${file}:${line} ${problem}: ${specifier}`)
    }
  }
  return broken
}

function problemOf(file: string, row: Row, specifier: string, exists: (file: string) => boolean): string | undefined {
  const target = targetOf(file, specifier)
  if (target === undefined) {
    const fenced = !row.node && !isTest(file) && isBuiltin(specifier)
    return fenced ? `${folderOf(file)} may not import node modules` : undefined
  }
  if (!exists(target)) return 'there is no such file'
  if (!target.startsWith('src/')) return isTest(file) ? undefined : 'this leaves src'
  if (isTest(target)) return 'a test may not be imported'
  const folder = folderOf(target)
  const allowed = folder === folderOf(file) || row.mayImport.has(folder)
  return allowed ? undefined : `${folderOf(file)} may not import ${folder}`
}

/** Every cycle between files, as `a → b → a`. */
export function cyclesOf(imports: Imports): string[] {
  const graph = new Map<string, string[]>()
  for (const [file, found] of imports) {
    const targets = found.map(({ specifier }) => targetOf(file, specifier))
    graph.set(
      file,
      targets.filter((target): target is string => target !== undefined && imports.has(target)),
    )
  }
  return findCycles(graph).map((cycle) => cycle.join(' → '))
}
