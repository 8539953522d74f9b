/**
 * Replays dead letters: one new run for the letters of each run, from that run's own spec, context and
 * workspace. Whatever of these is gone is said in one error, before anything is submitted. The core
 * decides which letters may be replayed.
 */
import type { LetterId } from '../core/events.ts'
import { Refused } from '../core/input.ts'
import type { DeadLetter } from '../core/letter-state.ts'
import { isMusterError, MusterError } from '../protocol/errors.ts'
import type { ReplayResult } from '../protocol/failures.ts'
import type { RunContext } from '../protocol/worker-messages.ts'
import type { Coordinator } from './coordinator.ts'
import { newRunId } from './run-id.ts'
import { toldEstimates } from './told-estimates.ts'
import { checkManifest } from './workspace-check.ts'

export type ReplayRequest = {
  readonly letters: readonly LetterId[]
  readonly who: string
  /** Whose shares it counts against, by those that the run of the letters counted against; absent = the same. */
  readonly userOf?: (first: string | undefined) => string
  readonly again: boolean
}

/** One result per run that the letters are of; letters that don't exist have one of their own. */
export async function replayLetters(coordinator: Coordinator, request: ReplayRequest): Promise<ReplayResult[]> {
  const { byId } = coordinator.state.letters
  const groups = Map.groupBy(new Set(request.letters), (id) => byId.get(id)?.run ?? `letter ${id}`)
  const results: ReplayResult[] = []
  // One after the other: each may check a whole workspace.
  for (const letters of groups.values()) {
    try {
      const run = await replayOne(coordinator, { ...request, letters })
      results.push({ letters, ok: true, run })
    } catch (error) {
      if (error instanceof Refused) results.push({ letters, ok: false, code: error.code, detail: error.message })
      else if (isMusterError(error)) {
        const hint = error.hint === undefined ? {} : { hint: error.hint }
        results.push({ letters, ok: false, code: error.code, detail: error.message, ...hint })
      } else throw error
    }
  }
  return results
}

async function replayOne(coordinator: Coordinator, { letters, who, userOf, again }: ReplayRequest): Promise<string> {
  const { state, contexts } = coordinator
  const known = letters.flatMap((id) => state.letters.byId.get(id) ?? [])
  const source = known[0] && state.letters.sources.get(known[0].run)
  const context = source && known[0] && (await privateContext(coordinator, known[0], source.spec.context))
  if (source?.spec.workspace.type === 'travel') await checkWorkspace(coordinator, source.spec.workspace.manifest)
  const files = known.map((letter) => letter.file)
  const estimates = source && (await coordinator.estimates(source.spec.project, source.spec.suite, files))
  const run = newRunId()
  const reference = context ? await contexts.put(run, context) : ''
  try {
    await coordinator.submit({
      type: 'replay',
      run,
      letters,
      who,
      ...(userOf ? { user: userOf(source?.spec.user) } : {}),
      again,
      context: reference,
      ...(estimates ? toldEstimates(estimates) : { estimates: files.map(() => null) }),
      startupMs: estimates?.startupMs ?? source?.spec.startupMs ?? 0,
    })
  } catch (error) {
    // Otherwise nobody knows: it may be a run yet.
    if (reference !== '' && error instanceof Refused) await contexts.remove(reference)
    throw error
  }
  return run
}

async function privateContext(
  coordinator: Coordinator,
  letter: DeadLetter,
  key: string,
): Promise<RunContext | undefined> {
  if (key === '') return undefined
  const context = await coordinator.contexts.get(key)
  if (context) return context
  throw new MusterError('conflict', `Cannot replay ${letter.id}: the private context of run ${letter.run} is gone`, {
    hint: "Start the suite again with 'muster run', and discard the letter.",
  })
}

async function checkWorkspace(coordinator: Coordinator, manifest: string): Promise<void> {
  try {
    await checkManifest(coordinator.blobs, manifest)
  } catch (error) {
    if (!isMusterError(error) || error.code !== 'workspace_invalid') throw error
    throw new MusterError('workspace_invalid', `Cannot replay: the workspace is no longer kept (${error.message})`, {
      cause: error,
      hint: "Start the suite again with 'muster run', and discard the letters.",
    })
  }
}
