/**
 * Placement looks again when something happens, and every two seconds while something waits and somebody is free: what
 * somebody free was not given may be given by the passing of time alone, since others were to be done sooner, and aren't.
 */
import type { State } from '../core/state.ts'

export const lookAgainMs = 2000

export function looksAgain({ queuedCount, free }: State): boolean {
  return queuedCount > 0 && free.size > 0
}
