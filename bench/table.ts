/** A benchmark's figures as data, and as a table that a person reads: numbers to the right, thousands apart. */
export type BenchTable = {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | number)[])[]
  readonly note?: string
}

export function formatTable(table: BenchTable): string {
  const cells = table.rows.map((row) => row.map(formatCell))
  const widths = table.columns.map((column, i) => Math.max(column.length, ...cells.map((row) => row[i]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (isNumeric(table, i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd()
  const lines = [
    table.title,
    line(table.columns),
    widths.map((width) => '─'.repeat(width)).join('  '),
    ...cells.map(line),
  ]
  return `${[...lines, ...(table.note === undefined ? [] : [table.note])].join('\n')}\n`
}

function isNumeric(table: BenchTable, column: number): boolean {
  return table.rows.every((row) => typeof row[column] === 'number')
}

function formatCell(cell: string | number): string {
  if (typeof cell === 'string') return cell
  return Math.abs(cell) >= 100
    ? Math.round(cell).toLocaleString('en').replaceAll(',', ' ')
    : String(Number(cell.toPrecision(3)))
}
