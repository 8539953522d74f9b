/** Who may have how much of the fleet, and who has it now: `GET /api/v1/shares`. */
export type ShareView = {
  /** `project:NAME`, `user:NAME`, or `project:*`, `user:*` for all without a rule of their own. */
  readonly scope: string
  /** Its part of what several compete for. */
  readonly weight: number
  readonly quota: { readonly cpus?: number; readonly gpus?: number; readonly cpuHours?: number }
  /** The rule that it is under, when that isn't its own. */
  readonly rule?: string
  readonly inUse: { readonly cpus: number; readonly gpus: number; readonly batches: number }
  /** CPU-hours of what ended within the last hour. */
  readonly lastHourCpuHours: number
}

export type SharesView = { readonly shares: readonly ShareView[] }
