/**
 * The worker's clock. Its monotonic time goes on while the host is suspended (a laptop's lid, a paused
 * virtual machine), which Node's own does not: others have counted that time, so leases must too. Only
 * Linux tells; elsewhere a suspended host notices at its first word with the coordinator.
 */
import os from 'node:os'
import { type Clock, systemClock } from '../stdx/clock.ts'

/** The time since boot comes in hundredths of a second, and the two are not read at the same instant. */
const suspendedMinMs = 500

/** `sinceBootMs` counts suspended time; undefined: nothing does. */
export function hostClock(
  sinceBootMs = process.platform === 'linux' ? () => os.uptime() * 1000 : undefined,
  clock: Clock = systemClock,
): Clock {
  if (sinceBootMs === undefined) return clock
  const apartMs = sinceBootMs() - clock.monotonicMs()
  let suspendedMs = 0
  return {
    ...clock,
    monotonicMs: () => {
      const nowMs = clock.monotonicMs()
      const gapMs = sinceBootMs() - nowMs - apartMs
      if (gapMs - suspendedMs > suspendedMinMs) suspendedMs = gapMs
      return nowMs + suspendedMs
    },
  }
}
