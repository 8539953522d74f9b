/**
 * How runs and tasks come in: what is refused before anything is done for it, estimates of their files, the private context
 * beside the log, and the same run again for the same key. Leaves out what the core checks itself.
 */
import type { RunSpec, TaskDependency } from '../core/entities.ts'
import { Refused, type Input, type Submit } from '../core/input.ts'
import type { Run } from '../core/state.ts'
import type { AboutFiles, Estimates } from '../history/history.ts'
import { isMusterError, type ErrorCode, type MusterError } from '../protocol/errors.ts'
import type { RunContext } from '../protocol/worker-messages.ts'
import type { View } from '../scheduling/fleet.ts'
import { refuseLate } from './admission.ts'
import type { Contexts } from './contexts.ts'
import type { Overload } from './overload.ts'
import { newRunId } from './run-id.ts'
import { GatheredEstimates, toldEstimates } from './told-estimates.ts'

/** What became of a write: durable, and state here includes it. */
export type Written = { readonly position: number; readonly changed: boolean }

export type SubmitRequest = {
  readonly who: string
  readonly key?: string
  readonly spec: Omit<RunSpec, 'context' | 'startupMs'> & { readonly startupMs?: number }
  readonly files: readonly string[]
  /** Their sizes, for estimates of those that never ran. */
  readonly fileBytes?: readonly (number | null)[]
  /** Index into the spec's needs, per file. */
  readonly kinds?: readonly number[]
  readonly dependencies?: readonly TaskDependency[]
  /** What to do when it can't be over by its deadline; default: say so in its view. */
  readonly admission?: 'warn' | 'refuse'
  readonly context?: RunContext
}

export type ExtendRequest = Pick<SubmitRequest, 'who' | 'files' | 'kinds' | 'fileBytes'> & { readonly run: string }

/** Nothing became of a submission that ends so. */
const refusals: ReadonlySet<string> = new Set<ErrorCode>(['overloaded', 'deadline_unreachable'])

export type SubmissionsOptions = {
  readonly view: View
  readonly contexts: Contexts
  readonly overload: Overload
  /** Why nothing can be written at the moment. */
  readonly logRefusal: () => MusterError | undefined
  /** Resolves when it is durable; rejects with Refused or MusterError. */
  readonly write: (input: Input) => Promise<Written>
  /** Of durations, from history; what is not known is left out. */
  readonly estimates: (
    project: string,
    suite: string,
    files: readonly string[],
    about?: AboutFiles,
  ) => Promise<Estimates>
}

export class Submissions {
  readonly #options: SubmissionsOptions
  readonly #gathered: GatheredEstimates

  constructor(options: SubmissionsOptions) {
    this.#options = options
    this.#gathered = new GatheredEstimates(options.estimates)
  }

  /** Creates the run and returns it once it is durable. The same key again returns the same run. */
  async submit(request: SubmitRequest): Promise<Run> {
    const { contexts, view, write, overload } = this.#options
    const { state } = view
    // Before anything is done for it; the leader asks again. The run of a key that is known costs nothing.
    if (!this.#isKnown(request.key)) throwIfAny(overload.refusal(request.spec.priority))
    let id = newRunId()
    while (state.runs.has(id)) id = newRunId()
    const { project, suite, framework } = request.spec
    const { fileBytes: bytes } = request
    const about = { framework, ...(bytes === undefined ? {} : { bytes }) }
    const estimates = await this.#options.estimates(project, suite, request.files, about)
    const reference = request.context ? await contexts.put(id, request.context) : ''
    const startupMs = estimates.startupMs ?? request.spec.startupMs ?? 0
    const input: Submit = {
      type: 'submit',
      run: id,
      who: request.who,
      ...(request.key === undefined ? {} : { key: request.key }),
      spec: { ...request.spec, context: reference, startupMs },
      files: request.files,
      ...toldEstimates(estimates),
      ...(request.kinds === undefined ? {} : { kinds: request.kinds }),
      ...(request.dependencies === undefined ? {} : { dependencies: request.dependencies }),
    }
    try {
      if (request.admission === 'refuse' && !this.#isKnown(request.key)) refuseLate(view, input, Date.now())
      await write(input)
    } catch (error) {
      // Otherwise nobody knows: it may be a run yet.
      if (error instanceof Refused || (isMusterError(error) && refusals.has(error.code)))
        await this.#removeContext(reference)
      throw error
    }
    // The same key was there before: so was its run.
    const taken = state.runs.has(id)
    if (!taken) await this.#removeContext(reference)
    return this.run(taken ? id : state.keys.get(request.key!)!)
  }

  /** Of tasks that are added to an open run. */
  async extend({ run, who, files, kinds, fileBytes }: ExtendRequest): Promise<Written> {
    const { spec } = this.run(run)
    const told = await this.#gathered.of(spec, files, fileBytes)
    const input: Input = { type: 'extend', run, who, files, ...told, ...(kinds === undefined ? {} : { kinds }) }
    return await this.#options.write(input)
  }

  /** On the leader: why it can't take on more work now. Undefined for what is no more work. */
  refusal(input: Input): MusterError | undefined {
    if (input.type !== 'submit' && input.type !== 'extend') return undefined
    if (input.type === 'submit' && this.#isKnown(input.key)) return undefined
    const { view, overload, logRefusal } = this.#options
    const { runs } = view.state
    const priority = input.type === 'submit' ? input.spec.priority : (runs.get(input.run)?.priority ?? 0)
    return logRefusal() ?? overload.refusal(priority)
  }

  #isKnown(key: string | undefined): boolean {
    return key !== undefined && this.#options.view.state.keys.has(key)
  }

  /** Throws Refused for one that isn't kept. */
  run(id: string): Run {
    const run = this.#options.view.state.runs.get(id)
    if (!run) throw new Refused('not_found', `no run ${id}; muster runs lists those that are kept`)
    return run
  }

  /**
   * The private context of a run. `reference`: as a worker was told it, who may know of a run that this coordinator has
   * not read of yet.
   */
  async contextOf(run: string, reference = ''): Promise<RunContext | undefined> {
    const { runs, letters } = this.#options.view.state
    const known = runs.get(run)?.spec.context ?? letters.sources.get(run)?.spec.context ?? reference
    return known === '' ? undefined : await this.#options.contexts.get(known)
  }

  async #removeContext(reference: string): Promise<void> {
    if (reference !== '') await this.#options.contexts.remove(reference)
  }
}

function throwIfAny(error: MusterError | undefined): void {
  if (error) throw error
}
