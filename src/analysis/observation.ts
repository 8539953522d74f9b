/**
 * One measured duration of one file, and what it says about any machine: a duration is only comparable
 * with another once the machine's speed and the load beside it are taken out. Reference milliseconds
 * are what the file would take on a machine of speed 1 at the load that is usual for its suite.
 */
export type Observation = {
  /** When it became known. */
  readonly atMs: number
  /** As measured. Of one that was stopped at its limit: at least so long. */
  readonly durationMs: number
  /** Of the machine; 1 = the reference machine, also where it isn't known. */
  readonly speed: number
  /** Files that ran beside it on its host, averaged over its time, per CPU of the host; null = not known. */
  readonly load: number | null
  /** CPUs of its batch; null = not known. */
  readonly cpus: number | null
  readonly ending: 'passed' | 'failed' | 'timed-out'
}

/** How much load costs: a duration grows with (1 + load) ^ exponent. `usualLoad`: what the estimates are for. */
export type Contention = { readonly exponent: number; readonly usualLoad: number }

export const noContention: Contention = { exponent: 0, usualLoad: 0 }

/** What the load of one measurement did to it, beside the usual one. */
export function contentionFactor({ exponent, usualLoad }: Contention, load: number | null): number {
  if (load === null || exponent === 0) return 1
  return ((1 + load) / (1 + usualLoad)) ** exponent
}

export function referenceMs(observation: Observation, contention: Contention): number {
  return (observation.durationMs * observation.speed) / contentionFactor(contention, observation.load)
}

export function isCensored(observation: Observation): boolean {
  return observation.ending === 'timed-out'
}
