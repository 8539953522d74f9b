/** What `muster.config.*` may say. Every key is described in docs/reference/configuration.md. */
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
