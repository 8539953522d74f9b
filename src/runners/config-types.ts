/** What `muster.config.*` may say. Every key is described in docs/reference/configuration.md. */
import type { PriorityName } from '../protocol/priority.ts'
import type { Requires } from './requires.ts'
import type { RetryRuleText } from './retry-rule.ts'
import type { FrameworkName } from './runner.ts'

export type MusterConfig = {
  /** What can be run with `--suite NAME`. With exactly one, it is what `muster run` runs. */
  readonly suites?: readonly SuiteConfig[]
  /** Names of environment variables whose values travel to workers on other machines. */
  readonly env?: readonly string[]
  /** What `muster run` does when no coordinator can take the run; `--fallback` and MUSTER_FALLBACK win. */
  readonly fallback?: 'none' | 'local' | 'local-when-busy'
}

export type SuiteConfig = {
  readonly name: string
  /** Detected in `cwd` when absent; 'command' when `run` is given. */
  readonly framework?: FrameworkName
  /** Relative to the configuration file; its directory when absent. */
  readonly cwd?: string
  /** Positional filters used when the command line has none. */
  readonly paths?: readonly string[]
  /** Arguments of the framework, before those of the command line. */
  readonly args?: readonly string[]
  /** Set for detection, listing and running. */
  readonly env?: Readonly<Record<string, string>>
  /** Labels that a worker must have. */
  readonly labels?: Readonly<Record<string, string>>
  /** What every file of the suite needs of a worker. */
  readonly requires?: Requires
  /** What some of its files need, and which come after others. All that match count; see docs/reference/configuration.md. */
  readonly rules?: readonly RuleConfig[]
  /** Suites of this configuration that must have passed before it, or, as `NAME:finished`, only ended. */
  readonly after?: string | readonly string[]
  /** What becomes of a file when one that it comes after did not pass; default `skip`. */
  readonly onDependencyFailure?: 'skip' | 'run'
  /** `high`, or a number from -1000 to 1000; larger goes first. */
  readonly priority?: PriorityName | number
  /** It should be over by then: `20m` after it was submitted, or at `14:00`. */
  readonly deadline?: string
  /** When it can't be over by its deadline: say so (default), or refuse it. */
  readonly admission?: 'warn' | 'refuse'
  /** How often a failed file is tried again. */
  readonly retries?: number
  /** The same in more detail, by cause: how often, after which wait, and where. */
  readonly retry?: {
    readonly [C in 'failed' | 'timed-out' | 'lost' | 'crashed' | 'infrastructure']?: RetryRuleText
  }
  /** Longest time one file may run, e.g. `5m`. */
  readonly timeout?: string
  /** Run once per lockfile and platform on a worker that got the workspace sent, e.g. `npm ci`. */
  readonly setup?: string
  /** Any command: which files there are. Patterns relative to `cwd`, or a command that prints one file per line. */
  readonly discover?: readonly string[] | { readonly command: readonly string[] }
  /** Any command: argv with `{files}`, `{cpus}`, `{junit}`. */
  readonly run?: readonly string[]
  /** Any command: read JUnit XML from `{junit}`, or let the exit code of each file's own process decide. */
  readonly results?: 'junit' | 'exit-code'
}

/** Is about files that match one of the patterns and have one of the tags. */
export type RuleConfig = {
  /** Patterns relative to the suite's directory: `gpu/**`. */
  readonly files?: string | readonly string[]
  /** Tags of tests in it (Playwright), or of a `muster: tags` comment. */
  readonly tags?: string | readonly string[]
  readonly requires?: Requires
  /** Patterns of files that come before these. */
  readonly dependsOn?: string | readonly string[]
}
