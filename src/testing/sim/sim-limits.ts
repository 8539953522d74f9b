import { defaultLimits, type Limits } from '../../core/limits.ts'

/** Times so short that the simulation meets what they bound. */
export const simLimits: Limits = {
  ...defaultLimits,
  avoidWaitMs: 1500,
  recycleMaxMs: 2500,
  recycleEveryMs: 3000,
  workerBreakerFailuresMin: 2,
  workerBreakerCoolDownMs: 1000,
  classBreakerFailuresMin: 4,
  classBreakerRatePercent: 60,
  classBreakerCoolDownMs: 800,
  classBreakerWaitMaxMs: 8000,
  breakerCoolDownMaxMs: 3000,
}
