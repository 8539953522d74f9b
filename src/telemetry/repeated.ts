/**
 * Warnings that come again and again are said once and then counted: the second within a minute is held
 * back, and when the minute is over one line says how many there were (`repeated`). Two are the same
 * when level and words agree but for numbers and ids. What is informative or for debugging passes.
 */
import { systemClock, type Clock } from '../stdx/clock.ts'
import type { Say } from './say.ts'

const quietMs = 60_000
/** Different warnings remembered at once; the oldest is forgotten first. */
const keysMax = 500

type Held = { times: number; message: string; detail: Readonly<Record<string, unknown>> }

export function quieten(say: Say, clock: Clock = systemClock): Say {
  const held = new Map<string, Held>()
  return (level, message, detail) => {
    if (level !== 'warn' && level !== 'error') return say(level, message, detail)
    const key = `${level} ${message.replaceAll(/[0-9a-f]{8,}|\d+/g, '#')}`
    const known = held.get(key)
    if (known) {
      known.times += 1
      known.message = message
      known.detail = detail
      return undefined
    }
    const own: Held = { times: 0, message, detail }
    if (held.size >= keysMax) held.delete(held.keys().next().value!)
    held.set(key, own)
    clock.after(quietMs, () => {
      if (held.get(key) === own) held.delete(key)
      if (own.times > 0) say(level, own.message, { ...own.detail, repeated: own.times })
    })
    return say(level, message, detail)
  }
}
