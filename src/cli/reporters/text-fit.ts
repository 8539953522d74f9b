/**
 * Text that has to fit: counts and durations as people read them, and names cut to a width. Width is
 * counted in terminal columns, not characters: `日本` is four wide, an emoji two, a colour code none.
 */
import { textWidth } from '../text-width.ts'
import { formatDuration } from '../../stdx/duration.ts'

const thinSpace = '\u202f'
/** Made when something must be cut: it takes 10 ms. */
let segmenter: Intl.Segmenter | undefined

/** `3412` → `3 412`, grouped with a narrow no-break space. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, thinSpace)
}

/** `1 file`, `2 files`. */
export function counted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`
}

/** Whole seconds, for what is redrawn: a text that changes ten times a second can't be read. */
export function formatSeconds(durationMs: number): string {
  if (durationMs < 99_500) return `${Math.max(0, Math.round(durationMs / 1000))} s`
  return formatDuration(durationMs)
}

export function formatPercent(ratio: number): string {
  // Rounded down near the top: 99.7 % of something is not all of it.
  const percent = ratio >= 1 ? 100 : Math.min(99, Math.round(ratio * 100))
  return `${percent} %`
}

export function width(text: string): number {
  return textWidth(text)
}

/** Cut in the middle, because a path tells most at its two ends. Only for text without colours. */
export function fitMiddle(text: string, columns: number): string {
  if (columns <= 0) return ''
  if (width(text) <= columns) return text
  if (columns === 1) return '…'
  const parts = Array.from((segmenter ??= new Intl.Segmenter()).segment(text), (part) => part.segment)
  // The end (file name, test title) gets two thirds.
  const tailColumns = Math.ceil(((columns - 1) * 2) / 3)
  const tail = takeColumns(parts.toReversed(), tailColumns).toReversed().join('')
  const head = takeColumns(parts, columns - 1 - width(tail)).join('')
  return `${head}…${tail}`
}

/** Cut at the end. Only for text without colours. */
export function fitEnd(text: string, columns: number): string {
  if (columns <= 0) return ''
  if (width(text) <= columns) return text
  return `${takeColumns(
    Array.from((segmenter ??= new Intl.Segmenter()).segment(text), (part) => part.segment),
    columns - 1,
  ).join('')}…`
}

function takeColumns(parts: readonly string[], columns: number): string[] {
  const taken: string[] = []
  let used = 0
  for (const part of parts) {
    const wide = width(part)
    if (used + wide > columns) break
    used += wide
    taken.push(part)
  }
  return taken
}

/** `left` and `right` at the two ends of a line; undefined when they don't fit. */
export function spread(left: string, right: string, columns: number): string | undefined {
  const space = columns - width(left) - width(right)
  return space < 2 ? undefined : `${left}${' '.repeat(space)}${right}`
}
