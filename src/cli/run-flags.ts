/** What `muster run` was told. */
import type { PlanFlags } from './run-plan.ts'
import type { SubmissionFlags } from './submission.ts'

export type RunFlags = PlanFlags &
  SubmissionFlags & {
    /** Every suite of the configuration. */
    readonly all?: boolean
    /** More than one of them. */
    readonly suites?: readonly string[]
    readonly timeout?: string
    readonly token?: string
    readonly reporter: readonly string[]
    readonly json?: string | true
    readonly junit?: string
    readonly ctrf?: string
    readonly daemon: boolean
    readonly dryRun?: boolean
    readonly passWithNoTests?: boolean
    readonly waitForWorker?: string
    readonly waitForCoordinator?: string
    readonly fallback?: string
  }
