/**
 * What a reporter for people writes to: text, a width, and whether colours and cursor codes are
 * welcome. Colour is decided once, here, from NO_COLOR, FORCE_COLOR, TERM and the stream.
 */
import { styleText } from 'node:util'

/** The part of `process.stdout` / `process.stderr` that is used. */
export type OutputStream = {
  write(text: string, written?: (error?: Error | null) => void): unknown
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
  on?(event: 'resize', listener: () => void): unknown
  off?(event: 'resize', listener: () => void): unknown
}

export type Style = Parameters<typeof styleText>[0]
/** Puts text into a style, or returns it as it is where colours are off. */
export type Paint = (style: Style, text: string) => string

export type Terminal = {
  /** Absent or false: a file or a pipe, whose lines are as long as they are. */
  readonly isTTY?: boolean
  write(text: string): void
  columns(): number
  rows(): number
  readonly paint: Paint
  /** Both return what takes the listener away again. */
  onResize(listener: () => void): () => void
  /** The process ends, however that came about; the listener must be synchronous. */
  onExit(listener: () => void): () => void
}

export const noPaint: Paint = (_style, text) => text
export const paintAlways: Paint = (style, text) => styleText(style, text, { validateStream: false })

type Environment = Readonly<Record<string, string | undefined>>

/** NO_COLOR wins over FORCE_COLOR; either counts when it is not empty. */
export function wantsColour(stream: OutputStream, env: Environment): boolean {
  if (env['NO_COLOR']) return false
  const forced = env['FORCE_COLOR']
  if (forced !== undefined) return forced !== '0' && forced !== 'false'
  if (env['GITHUB_ACTIONS']) return true
  return stream.isTTY === true && env['TERM'] !== 'dumb'
}

/** A live region needs a terminal that understands cursor codes, and nobody who asked for plain lines. */
export function wantsLive(stream: OutputStream, env: Environment): boolean {
  return stream.isTTY === true && env['TERM'] !== 'dumb' && !env['NO_COLOR'] && !isSet(env['CI'])
}

export function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0' && value !== 'false'
}

export function terminalOf(stream: OutputStream, env: Environment): Terminal {
  return {
    isTTY: stream.isTTY === true,
    write: (text) => void stream.write(text),
    columns: () => stream.columns || Number(env['COLUMNS']) || 100,
    rows: () => stream.rows || 24,
    paint: wantsColour(stream, env) ? paintAlways : noPaint,
    onResize(listener) {
      stream.on?.('resize', listener)
      return () => void stream.off?.('resize', listener)
    },
    onExit(listener) {
      process.once('exit', listener)
      return () => void process.off('exit', listener)
    },
  }
}
