/**
 * Who may have how much of the fleet. Each rule is about a scope: `project:NAME`, `user:NAME`, or `project:*` and `user:*`
 * for every one without a rule of its own. Quotas bound what a scope has at once (or spends within an hour), always;
 * weights say how what is left is divided, and bind nobody while others are idle.
 */
export type ShareRule = {
  /** Its part of what several compete for, against the parts of the others; default 1. */
  readonly weight?: number
  /** Most CPUs that its batches hold at once. */
  readonly cpus?: number
  /** Most GPUs, likewise. */
  readonly gpus?: number
  /** Most CPU-hours spent within the last hour. */
  readonly cpuHours?: number
}

export type Shares = ReadonlyMap<string, ShareRule>

export const noShares: Shares = new Map()

export function ruleOfScope(shares: Shares, scope: string): ShareRule | undefined {
  if (shares.size === 0) return undefined
  return shares.get(scope) ?? shares.get(scope.startsWith('project:') ? 'project:*' : 'user:*')
}

export function hasQuota(rule: ShareRule | undefined): boolean {
  return rule !== undefined && (rule.cpus !== undefined || rule.gpus !== undefined || rule.cpuHours !== undefined)
}
