/**
 * Reads the folder table of ARCHITECTURE.md. The table's shape is exact on purpose: four columns,
 * folder in backticks, names separated by commas or a dash for none, `yes` or `no`. Whatever doesn't
 * fit is an error, so that a row can't be half read.
 */
export type Row = { readonly mayImport: ReadonlySet<string>; readonly node: boolean }

const heading = '| folder | purpose | may import | `node:` |'

export function parseTable(markdown: string): Map<string, Row> {
  const lines = markdown.split('\n')
  const start = lines.indexOf(heading)
  if (start === -1) throw new Error(`ARCHITECTURE.md has no table that starts with "${heading}"`)
  const rows = new Map<string, Row>()
  for (const line of lines.slice(start + 2)) {
    if (!line.startsWith('|')) break
    const match = /^\| `([a-z]+)` \| [^|]+ \| ([a-z, ]+|–) \| (yes|no) \|$/.exec(line)
    const [, folder, names, node] = match ?? []
    if (folder === undefined || names === undefined) throw new Error(`Cannot read this row of ARCHITECTURE.md: ${line}`)
    if (rows.has(folder)) throw new Error(`ARCHITECTURE.md has two rows for ${folder}`)
    rows.set(folder, { mayImport: new Set(names === '–' ? [] : names.split(', ')), node: node === 'yes' })
  }
  return rows
}
