/**
 * Columns for people, on stdout. Numbers to the right, also where some are missing. Names of workers, labels, files and
 * locks are others' text: what a terminal would obey is left out.
 */
import { textWidth } from './text-width.ts'
import { plainText } from '../stdx/plain-text.ts'

export function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const all = [header, ...rows].map((row) => row.map((cell) => plainText(String(cell))))
  const widths = header.map((_, column) => Math.max(...all.map((row) => textWidth(row[column] ?? ''))))
  const right = header.map((_, column) => isNumeric(rows.map((row) => row[column])))
  const lines = all.map((row) =>
    row
      .map((cell, column) => {
        const pad = ' '.repeat(widths[column]! - textWidth(cell))
        return right[column] ? pad + cell : cell + pad
      })
      .join('  ')
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}

function isNumeric(cells: readonly (string | number | undefined)[]): boolean {
  const filled = cells.filter((cell) => cell !== '' && cell !== undefined)
  return filled.length > 0 && filled.every((cell) => typeof cell === 'number')
}

/** `12 s ago`, `3 h ago`, or a date. */
export function ago(atMs: number, nowMs = Date.now()): string {
  const seconds = Math.max(0, Math.round((nowMs - atMs) / 1000))
  if (seconds < 60) return `${seconds} s ago`
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h ago`
  return new Date(atMs).toISOString().slice(0, 10)
}
