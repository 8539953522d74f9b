/**
 * The program's own log: JSON lines, one place where the logger is made. Field names are those of the
 * API (camelCase, units last); docs/reference/log.md lists them. What the lines about work say follows
 * from committed events (life-log.ts), so each is about something durable.
 */
import pino from 'pino'
import { MusterError } from '../protocol/errors.ts'
import { quieten } from './repeated.ts'
import type { Say } from './say.ts'

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof levels)[number]

const variable = 'MUSTER_LOG_LEVEL'

export function logLevel(env: Readonly<Record<string, string | undefined>> = process.env): LogLevel {
  const text = env[variable]
  if (text === undefined || text === '') return 'info'
  const level = levels.find((one) => one === text.toLowerCase())
  if (level === undefined) {
    throw new MusterError('config_invalid', `${variable}: expected one of ${levels.join(', ')}, received '${text}'`)
  }
  return level
}

export type ProgramLog = {
  readonly say: Say
  /** Whether lines about every batch and attempt are wanted. */
  readonly debug: boolean
  /** Last words; also those are limited to one line. */
  fatal(message: string, error: unknown): void
}

/** Writes to a descriptor at once: the last lines before an exit are those that matter. */
export function openProgramLog(descriptor: 1 | 2, level = logLevel()): ProgramLog {
  const log = pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ dest: descriptor, sync: true }),
  )
  const say = quieten((at, message, detail) => log[at](detail, message))
  return {
    say,
    debug: log.isLevelEnabled('debug'),
    fatal: (message, error) =>
      log.fatal({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }, message),
  }
}
