/**
 * Every module a TypeScript file names: static, type-only, re-exported and dynamic imports,
 * `import('x')` types, and `new URL('./x', import.meta.url)` (how threads and child processes are
 * named). Parsed with oxc, because text search sees imports in strings and misses those over several
 * lines. A dynamic import whose argument is computed has no name and is left out.
 */
import { parseSync, Visitor } from 'oxc-parser'

export type Import = { readonly specifier: string; readonly line: number }

export function readImports(file: string, source: string): Import[] {
  const parsed = parseSync(file, source, { sourceType: 'module' })
  const [error] = parsed.errors
  if (error !== undefined) throw new Error(`Cannot parse ${file}: ${error.message}`)
  const found: { specifier: string; start: number }[] = []
  const add = (node: { readonly start: number; readonly value?: unknown } | null | undefined): void => {
    if (node && typeof node.value === 'string') found.push({ specifier: node.value, start: node.start })
  }
  const visitor = new Visitor({
    ImportDeclaration: (node) => add(node.source),
    ExportNamedDeclaration: (node) => add(node.source),
    ExportAllDeclaration: (node) => add(node.source),
    ImportExpression: (node) => add(node.source as { start: number; value?: unknown }),
    TSImportType: (node) => add(node.source),
    NewExpression: (node) => {
      const [first, second] = node.arguments
      const isUrl = node.callee.type === 'Identifier' && node.callee.name === 'URL'
      const isHere = second?.type === 'MemberExpression' && second.object.type === 'MetaProperty'
      if (isUrl && isHere) add(first as { start: number; value?: unknown })
    },
  })
  visitor.visit(parsed.program)
  return found
    .sort((one, other) => one.start - other.start)
    .map(({ specifier, start }) => ({ specifier, line: source.slice(0, start).split('\n').length }))
}
