/**
 * Reads what `go test -json` prints, line by line, while it runs. Go 1.24 and newer also put the compiler's
 * words into events; older ones print them to stderr under a `# package` heading, and the verdict
 * `FAIL package [build failed]` as plain text.
 *
 * Every test and subtest that Go gives a result is a test here, parents too. A test without a result belongs
 * to a program that ended early (panic, os.Exit): it failed. Benchmarks are left out.
 */
import type { TestError, TestResult } from '../../protocol/results.ts'
import type { BatchReader, BatchSink, ProcessExit } from '../runner.ts'

type GoEvent = {
  readonly Action: string
  readonly Package?: string
  readonly Test?: string
  readonly Elapsed?: number
  readonly Output?: string
  readonly ImportPath?: string
  readonly FailedBuild?: string
}

type TestState = { output: string }
type PackageState = {
  readonly file: string
  readonly running: Map<string, TestState>
  readonly results: TestResult[]
  output: string
  cached: boolean
}

const textMax = 64 * 1024

export class GoReader implements BatchReader {
  readonly #sink: BatchSink
  readonly #tasks: ReadonlyMap<string, string>
  readonly #packages = new Map<string, PackageState>()
  readonly #ended = new Set<string>()
  /** The compiler's words by what it compiled, e.g. `example.com/x [example.com/x.test]`. */
  readonly #builds = new Map<string, string>()
  #build: string | undefined
  /** Packages whose build failed, before what the compiler said is complete. */
  readonly #unbuilt = new Set<string>()

  constructor(sink: BatchSink, tasks: ReadonlyMap<string, string>) {
    this.#sink = sink
    this.#tasks = tasks
  }

  stdoutLine(line: string): boolean {
    const event = parse(line)
    if (event === undefined) {
      const unbuilt = /^FAIL\t(\S+) \[(?:build|setup) failed\]/.exec(line)
      if (unbuilt !== null) this.#unbuilt.add(unbuilt[1]!)
      return false
    }
    if (event.Action === 'build-output') this.#addBuild(event.ImportPath ?? '', event.Output ?? '')
    if (event.Package !== undefined) this.#read(event, event.Package)
    return true
  }

  stderrLine(line: string): boolean {
    const heading = /^# (\S+(?: \[\S+\])?)$/.exec(line)
    if (heading !== null) this.#build = heading[1]!
    if (this.#build !== undefined) this.#builds.set(this.#build, `${this.#builds.get(this.#build) ?? ''}${line}\n`)
    return false
  }

  /** Build failures are told only now: what the compiler says comes by another pipe. */
  async exit(exit: ProcessExit): Promise<void> {
    for (const name of this.#unbuilt) {
      if (!this.#ended.has(name) && this.#tasks.has(name))
        this.#end(name, this.#state(name), [this.#buildError(name)], 0)
    }
    if (exit.signal !== null) return
    if (exit.code === 2 && this.#ended.size === 0) {
      this.#sink.event({ type: 'error', error: { message: 'go test refused its arguments; see its output' } })
    }
    this.#sink.event({ type: 'end' })
  }

  #addBuild(name: string, text: string): void {
    this.#builds.set(name, (this.#builds.get(name) ?? '') + text)
    this.#sink.output(text)
  }

  #read(event: GoEvent, name: string): void {
    if (!this.#tasks.has(name) || this.#ended.has(name)) {
      if (event.Action === 'output') this.#sink.output(event.Output ?? '')
      return
    }
    const unbuilt = /^FAIL\t\S+ \[(?:build|setup) failed\]/.test(event.Output ?? '')
    if (unbuilt || event.FailedBuild !== undefined) this.#unbuilt.add(name)
    if (this.#unbuilt.has(name)) return
    const state = this.#state(name)
    if (event.Test === undefined) this.#readPackage(event, name, state)
    else if (!event.Test.startsWith('Benchmark')) this.#readTest(event, event.Test, state)
  }

  #state(name: string): PackageState {
    const known = this.#packages.get(name)
    if (known !== undefined) return known
    const file = this.#tasks.get(name)!
    const state: PackageState = { file, running: new Map(), results: [], output: '', cached: false }
    this.#packages.set(name, state)
    this.#sink.event({ type: 'file-start', file })
    return state
  }

  #readTest(event: GoEvent, test: string, state: PackageState): void {
    const running = state.running.get(test) ?? { output: '' }
    state.running.set(test, running)
    if (event.Action === 'output') running.output = keep(running.output, event.Output ?? '')
    else if (event.Action === 'pass' || event.Action === 'fail' || event.Action === 'skip') {
      this.#finish(state, test, event.Action, (event.Elapsed ?? 0) * 1000)
    }
  }

  #finish(state: PackageState, test: string, action: 'pass' | 'fail' | 'skip', durationMs: number, why?: string): void {
    const output = withoutFrames(state.running.get(test)?.output ?? '')
    state.running.delete(test)
    const common = { file: state.file, name: test.split('/'), durationMs: Math.round(durationMs * 1000) / 1000 }
    const printed = output.trim() === '' ? {} : { output }
    const result: TestResult =
      action === 'fail'
        ? { ...common, status: 'failed', errors: [readError(output, state.file, why)], ...printed }
        : action === 'skip'
          ? { ...common, status: 'skipped', ...reasonOf(output), ...printed }
          : { ...common, status: 'passed', ...printed }
    state.results.push(result)
    this.#sink.event({ type: 'test', test: result })
    if (action === 'fail' && output !== '') this.#sink.output(`--- FAIL: ${test}\n${output}`)
  }

  #readPackage(event: GoEvent, name: string, state: PackageState): void {
    if (event.Action === 'output') {
      const text = event.Output ?? ''
      state.cached ||= /^ok\s.*\(cached\)/.test(text)
      if (text !== 'PASS\n' && text !== 'FAIL\n') this.#sink.output(text)
      state.output = keep(state.output, text)
      return
    }
    if (event.Action !== 'pass' && event.Action !== 'fail' && event.Action !== 'skip') return
    this.#finishRunning(state, event.Action === 'fail')
    const failed = state.results.some((test) => test.status === 'failed')
    const errors = event.Action === 'fail' && !failed ? [packageError(state.output)] : []
    // A cached result comes at once; what it cost when it was made is in its tests.
    const replayed = state.results
      .filter((test) => test.name.length === 1)
      .reduce((sum, test) => sum + test.durationMs, 0)
    this.#end(name, state, errors, state.cached ? replayed : (event.Elapsed ?? 0) * 1000)
  }

  /** Tests without a result: the program ended while they ran, or their result line was swallowed by output without a line end. */
  #finishRunning(state: PackageState, packageFailed: boolean): void {
    const all = [...state.running]
    const guilty = all.find(([, one]) => /^panic: |^fatal error: |^SIG[A-Z]+: /m.test(one.output))?.[0]
    // Inner ones first, as Go itself reports them.
    for (const [test, { output }] of all.toSorted(([a], [b]) => b.split('/').length - a.split('/').length)) {
      const swallowed = /--- (PASS|FAIL|SKIP): (\S+) \(([\d.]+)s\)/.exec(output)
      if (swallowed !== null && swallowed[2] === test) {
        this.#finish(state, test, swallowed[1]!.toLowerCase() as 'pass' | 'fail' | 'skip', Number(swallowed[3]) * 1000)
      } else if (!packageFailed) this.#finish(state, test, 'pass', 0)
      else this.#finish(state, test, 'fail', 0, endedEarly(test, guilty, output + state.output))
    }
  }

  #end(name: string, state: PackageState, errors: readonly TestError[], durationMs: number): void {
    this.#ended.add(name)
    this.#packages.delete(name)
    const skipped =
      errors.length === 0 && state.results.length > 0 && state.results.every((test) => test.status === 'skipped')
    this.#sink.event({
      type: 'file-end',
      file: state.file,
      durationMs,
      ...(errors.length > 0 ? { errors } : {}),
      ...(skipped ? { skipped } : {}),
    })
  }

  #buildError(name: string): TestError {
    // Its own heading, else a package that it needs.
    const own = [...this.#builds].find(([key]) => key === name || key.startsWith(`${name} [`))
    const text = own?.[1] ?? [...this.#builds.values()].join('')
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    return { message: lines[0]?.trim() ?? 'the package does not build', type: 'BuildError', stack: cut(text.trim()) }
  }
}

function parse(line: string): GoEvent | undefined {
  if (!line.startsWith('{"')) return undefined
  try {
    const value = JSON.parse(line) as Partial<GoEvent>
    return typeof value.Action === 'string' ? (value as GoEvent) : undefined
  } catch {
    // Something else that the program printed.
    return undefined
  }
}

function endedEarly(test: string, guilty: string | undefined, output: string): string | undefined {
  if (guilty === test) return undefined
  if (guilty !== undefined) return `did not finish: the program ended in ${guilty}`
  const words = output.split('\n').find((line) => /^(exit status|signal:|panic:)/.test(line))
  return `did not finish: the program ended early${words === undefined ? '' : ` (${words})`}`
}

/** What Go frames a test's output with. */
function withoutFrames(text: string): string {
  return text.replace(/^(=== (RUN|PAUSE|CONT|NAME) .*|\s*--- (PASS|FAIL|SKIP): .*)\n/gm, '')
}

const place = /^\s*([\w.-]+\.go):(\d+): (.*)$/m

function readError(output: string, file: string, why: string | undefined): TestError {
  const panic = /^(?:panic|fatal error): (.*)$/m.exec(output)
  const found = place.exec(output)
  const words = why ?? (panic === null ? (found?.[3] ?? output.trim().split('\n')[0]) : panic[0])
  const stack = output.trim() === '' ? {} : { stack: cut(output) }
  const message = words === undefined || words === '' ? 'failed (see its subtests)' : words
  if (found === null || why !== undefined) return { message, ...stack }
  const folder = file === '.' ? '' : `${file.replace(/^\.\//, '')}/`
  return { message, ...stack, file: folder + found[1]!, line: Number(found[2]) }
}

function packageError(output: string): TestError {
  const text = output.replace(/^(PASS|FAIL|FAIL\t.*)\n/gm, '').trim()
  const lines = text.split('\n').filter((line) => line !== '')
  const line = lines.find((one) => /^(panic|fatal error|exit status|signal|\S+: )/.test(one)) ?? lines.at(-1)
  return {
    message: line ?? 'the package failed although no test did (exit code)',
    ...(text === '' ? {} : { stack: cut(text) }),
  }
}

function reasonOf(output: string): { readonly reason?: string } {
  const reason = place.exec(output)?.[3]?.trim()
  return reason === undefined || reason === '' ? {} : { reason }
}

/** Keeps memory bounded while output streams in: the beginning and the latest part. */
function keep(text: string, more: string): string {
  return text.length + more.length <= 4 * textMax ? text + more : cut(text + more)
}

function cut(text: string): string {
  if (text.length <= textMax) return text
  const half = textMax / 2
  return `${text.slice(0, half)}\n… ${text.length - textMax} characters left out …\n${text.slice(-half)}`
}
