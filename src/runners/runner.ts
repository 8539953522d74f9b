/**
 * The contract of a framework adapter. A runner knows four things about its framework: how to see
 * that a project uses it, how to list the files it would run, how to start it on some of them with a
 * granted number of CPUs, and how to read what it reports while it runs. It never spawns the test
 * process itself, never kills, never retries: the worker does that, once, for all of them.
 *
 * How results travel: the worker gives the framework process an extra pipe, file descriptor 3. A
 * reporter loaded through the framework's public reporter or plugin API writes one JSON line per
 * `DriverEvent` to it, synchronously, so that nothing is lost when the process dies. A runner whose
 * framework can't load a reporter (`go test -json`, any command with JUnit files) translates
 * stdout, stderr or files itself through `BatchReader`.
 */
import type { TestError, TestResult } from '../protocol/results.ts'

export type FrameworkName = 'vitest' | 'jest' | 'mocha' | 'node' | 'playwright' | 'pytest' | 'go' | 'command'

/** What a reporter says. `file` is always a task's path exactly as `list` gave it. */
export type DriverEvent =
  /** A file's own code begins to run (or load). From here a crash is put down to it. */
  | { readonly type: 'file-start'; readonly file: string }
  /** A test has its final status (after the framework's own retries). */
  | { readonly type: 'test'; readonly test: TestResult }
  /**
   * A file is complete: everything it will ever report has been reported. `durationMs` is the time
   * the file kept one CPU busy (load + hooks + tests), without the framework's start-up.
   * `errors`: load errors and failed hooks; a non-empty list makes the file failed.
   */
  | {
      readonly type: 'file-end'
      readonly file: string
      readonly durationMs: number
      readonly errors?: readonly TestError[]
      readonly skipped?: boolean
    }
  /**
   * Something failed outside any file (unhandled rejection, global set-up, coverage threshold).
   * It makes the run failed even when every test passed.
   */
  | { readonly type: 'error'; readonly error: TestError; readonly file?: string }
  /** Everything has been reported; what follows is tear-down. */
  | { readonly type: 'end' }

export type Detection = {
  readonly framework: FrameworkName
  /** As the framework's own package or binary says, e.g. `4.1.2`. */
  readonly version: string
  /** One phrase for people: what gave it away, e.g. `vitest.config.ts`. */
  readonly reason: string
  /**
   * How sure: 'script' = the project's own test script runs it, 'config' = its config file or
   * dependency is here, 'files' = only files that look like its tests.
   */
  readonly strength: 'script' | 'config' | 'files'
  /** Set when it is recognised but can't run: what is missing and how to get it. */
  readonly problem?: string
  /** Absolute path of what starts it (JS entry file, or executable). */
  readonly entry?: string
}

export type Project = {
  /** Absolute path of the suite's working directory. */
  readonly cwd: string
  /** package.json of cwd, parsed; undefined without one. */
  readonly packageJson: PackageJson | undefined
  /** Names (not paths) of the entries of cwd. */
  readonly entries: ReadonlySet<string>
  /** Environment that detection, listing and running see. */
  readonly env: Readonly<Record<string, string>>
}

export type PackageJson = {
  readonly name?: string
  readonly scripts?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly [key: string]: unknown
}

export type ListRequest = {
  readonly project: Project
  readonly detection: Detection
  /** Positional filters of the user, with the framework's own meaning; empty = everything. */
  readonly paths: readonly string[]
  /** What the user wrote after `--`, passed on to the framework as it is. */
  readonly args: readonly string[]
  /** Only set for 'command': its suite in muster.config. */
  readonly suite?: CommandSuite
  readonly signal: AbortSignal
}

export type Listing = {
  /** Sorted, unique, POSIX, relative to cwd (Go: package paths as `./pkg/x`; `.` for the root). */
  readonly files: readonly string[]
  /**
   * Absolute paths of the files whose content decides the listing besides the names of the files in the
   * workspace (configs and what they import). Lets a listing be kept and reused while nothing changed.
   * Undefined = can't be known: never reuse.
   */
  readonly dependsOn?: readonly string[]
  /** One process runs one test at a time, however many CPUs it is granted. */
  readonly serial?: boolean
  /** Tags of the tests in a file, as far as the framework shows them. */
  readonly tags?: Readonly<Record<string, readonly string[]>>
  /** Files that the project wants to run in one place, by the name of their group. A file may be in several. */
  readonly groups?: Readonly<Record<string, readonly string[]>>
}

export type BatchRequest = {
  readonly project: Project
  readonly detection: Detection
  /** The tasks of this batch, as listed. */
  readonly files: readonly string[]
  /** True when `files` is everything that `list` found for `paths` and `args`: the runner may then pass `paths` on instead of every file. */
  readonly complete: boolean
  readonly paths: readonly string[]
  readonly args: readonly string[]
  /** CPUs granted; the runner passes them on as the framework's own parallelism. ≥ 1. */
  readonly cpus: number
  /** An empty directory of this attempt, removed afterwards. */
  readonly tempDir: string
  readonly suite?: CommandSuite
}

export type BatchCommand = {
  /** argv[0] is an absolute path or a name looked up in PATH. No shell. */
  readonly argv: readonly string[]
  /** Added to the project's environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Defaults to the project's cwd. */
  readonly cwd?: string
  /** Exit codes besides 0 that say nothing against the run (pytest's 5: a file without tests). */
  readonly cleanExitCodes?: readonly number[]
  /** How the process's exits and outputs become events; default: descriptor 3 only. */
  readonly reader?: (sink: BatchSink) => BatchReader
}

/** Where a reader puts what it understood. */
export interface BatchSink {
  event(event: DriverEvent): void
  /** Shown as output of the batch, as if the process had printed it. */
  output(text: string): void
}

export interface BatchReader {
  /** One line of stdout without its line end. Return true when it was consumed (not output for people). */
  stdoutLine?(line: string): boolean
  stderrLine?(line: string): boolean
  /** The process has ended; last chance to emit events (e.g. read JUnit files). */
  exit?(exit: ProcessExit): Promise<void>
}

export type ProcessExit = { readonly code: number | null; readonly signal: string | null }

/** A suite of `muster.config.*` that is not one of the known frameworks. */
export type CommandSuite = {
  readonly name: string
  /** Glob patterns, or a command (argv) that prints one file per line. */
  readonly discover: readonly string[] | { readonly command: readonly string[] }
  /** argv with `{files}` (expands to several arguments), `{cpus}`, `{junit}` (a file or directory to be written). */
  readonly run: readonly string[]
  /** How results are read. */
  readonly results: 'junit' | 'exit-code'
  readonly env?: Readonly<Record<string, string>>
}

export interface Runner {
  readonly framework: FrameworkName
  /** Undefined when the project shows no sign of this framework. Reads files only; starts a process only when there is no other way to learn a version. */
  detect(project: Project): Promise<Detection | undefined>
  /**
   * The files that the framework itself would run. Throws MusterError: `framework_failed` with the framework's own words
   * when it can't, `no_tests` never (an empty listing says that).
   */
  list(request: ListRequest): Promise<Listing>
  /** How to start the framework on the batch. May write into tempDir. */
  command(request: BatchRequest): Promise<BatchCommand>
  /**
   * Arguments (after `--`) that must not be combined with Muster, each with the word to use instead;
   * e.g. `--shard` → `muster run --shard`.
   */
  readonly refusedArgs?: Readonly<Record<string, string>>
}
