/** Whether a run may come in though its deadline can't be kept, and what is said of deadlines and needs in its view. */
import { step, apply } from '../core/advance.ts'
import { readableFormat } from '../core/format.ts'
import type { Submit } from '../core/input.ts'
import { emptyState, type Run, type State } from '../core/state.ts'
import { MusterError } from '../protocol/errors.ts'
import { latenessOf, latenessWords, noFitWords } from '../scheduling/admission.ts'
import { Fleets, type View } from '../scheduling/fleet.ts'
import type { Forecast } from '../scheduling/forecast.ts'

/** Throws what the submission is refused with when every worker that fits together could not make it. */
export function refuseLate(view: View, input: Submit, nowMs: number): void {
  const run = runAlone(view.state, input, nowMs)
  const lateness = latenessOf(view.state, run, new Fleets(view), undefined, nowMs)
  if (lateness === undefined || lateness.type === 'likely') return
  const words = latenessWords(lateness, timeWords(run.spec.deadlineAtMs!))
  throw new MusterError('deadline_unreachable', `the run ${words}`, {
    hint: "Give it more time, or more workers where no quota, lock or order of files holds it up; with admission 'warn' it is taken all the same.",
  })
}

/** The run as it would be, in a state of its own. Throws Refused where the core would. */
function runAlone(state: State, input: Submit, nowMs: number): Run {
  const alone = emptyState(state.limits)
  alone.format = readableFormat
  const { after: _, ...spec } = input.spec
  for (const event of step(alone, { ...input, spec }, nowMs)) apply(alone, event, nowMs)
  return alone.runs.get(input.run)!
}

/** Sentences about a run that has not ended; empty when all is well. */
export function runWarnings(
  view: View,
  run: Run,
  fleets: Fleets,
  forecast: Forecast | undefined,
  nowMs: number,
): string[] {
  if (run.state === 'finished' || run.cancelled) return []
  const lateness = latenessOf(view.state, run, fleets, forecast, nowMs)
  const noFit = run.spec.needs === undefined ? undefined : noFitWords(view, run, fleets, nowMs)
  return [
    ...(lateness === undefined ? [] : [latenessWords(lateness, timeWords(run.spec.deadlineAtMs!))]),
    ...(noFit === undefined ? [] : [noFit]),
  ]
}

/** To the minute, in the zone that everybody can convert from. */
function timeWords(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}
