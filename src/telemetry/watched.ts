/** What telemetry looks at. State may be replaced while it runs, so it is asked for each time. */
import type { Coordinator } from '../coordinator/coordinator.ts'
import type { Seat } from '../coordinator/seat.ts'

export type Watched = Pick<
  Coordinator,
  | 'health'
  | 'scheduling'
  | 'watchRounds'
  | 'schedulerMetrics'
  | 'state'
  | 'feed'
  | 'observe'
  | 'workers'
  | 'standing'
  | 'readiness'
  | 'logSizeBytes'
> & { readonly seat: Pick<Seat, 'failovers'> }
