/**
 * A few lines at the bottom of the terminal that are drawn again and again, with permanent text
 * printed above them. It draws only when the lines differ from what stands there, in one write, so
 * that nothing flickers. Lines must fit the terminal's width. Written here and not taken from a
 * library because those at hand patch the streams or redraw on every call.
 */
import type { Terminal } from './terminal.ts'
import { width } from './text-fit.ts'

const hideCursor = '\u001b[?25l'
const showCursor = '\u001b[?25h'
/** Terminals that know it show everything in between at once; others ignore it. */
const beginUpdate = '\u001b[?2026h'
const endUpdate = '\u001b[?2026l'

export class LiveRegion {
  readonly #terminal: Terminal
  #drawn: readonly string[] = []
  #hidden = false

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  /** Prints text that stays, above the region. */
  print(text: string): void {
    if (text === '') return
    const permanent = text.endsWith('\n') ? text : `${text}\n`
    if (this.#drawn.length === 0) {
      this.#terminal.write(permanent)
      return
    }
    this.#terminal.write(`${beginUpdate}${this.#erase()}${permanent}${join(this.#drawn)}${endUpdate}`)
  }

  draw(lines: readonly string[]): void {
    const fitting = lines.slice(0, Math.max(1, this.#terminal.rows() - 1))
    if (same(fitting, this.#drawn)) return
    const cursor = this.#hidden ? '' : hideCursor
    this.#hidden = true
    const erase = this.#erase()
    this.#drawn = fitting
    this.#terminal.write(`${beginUpdate}${cursor}${erase}${join(fitting)}${endUpdate}`)
  }

  /** Takes the region away and gives the cursor back. Harmless when repeated. */
  clear(): void {
    const erase = this.#erase()
    this.#drawn = []
    const cursor = this.#hidden ? showCursor : ''
    this.#hidden = false
    if (erase !== '' || cursor !== '') this.#terminal.write(`${erase}${cursor}`)
  }

  /** The cursor stands on the line below the region. After a narrowing, lines may have been wrapped onto several rows. */
  #erase(): string {
    if (this.#drawn.length === 0) return ''
    const columns = Math.max(1, this.#terminal.columns())
    let rows = 0
    for (const line of this.#drawn) rows += Math.max(1, Math.ceil(width(line) / columns))
    return `\u001b[${rows}A\r\u001b[J`
  }
}

function join(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((line, index) => line === b[index])
}
