/** The scheduler that was used while something was recorded: one all the time, or as they were chosen, one after another. */
import type { PlayedPolicy, Recording } from '../scheduling/recording.ts'
import type { Policies } from './policies.ts'

export type RecordedPolicy = {
  readonly policy: PlayedPolicy
  /** Names that aren't known here; the default stands in for them. */
  readonly unknown: readonly string[]
}

/** As many as fit into a line; of the others only how many. */
const namedMax = 4

export function recordedPolicy(policies: Policies, { strategy, schedulers, fromMs }: Recording): RecordedPolicy {
  const choices = schedulers ?? [{ atMs: fromMs, strategy }]
  const usual = policies.default.name
  const forAll = choices.filter((choice) => choice.project === undefined)
  const projects = new Set(choices.flatMap(({ project }) => project ?? []))
  const names = forAll.map((choice) => choice.strategy ?? usual)
  // Until somebody chose, it was the default.
  if (!forAll.some(({ atMs }) => atMs <= fromMs)) names.unshift(usual)
  const inTurn = names.filter((name, at) => name !== names[at - 1])
  const unknown = [...new Set(choices.flatMap((choice) => choice.strategy ?? []))].filter((name) => !policies.has(name))
  const [only = usual] = inTurn
  if (inTurn.length === 1 && projects.size === 0 && forAll.every((choice) => choice.config === undefined))
    return { policy: policies.has(only) ? policies.named(only) : policies.default, unknown }
  const own =
    projects.size === 0 ? '' : `; another for ${projects.size === 1 ? '1 project' : `${projects.size} projects`}`
  return { policy: policies.asChosen(`${inTurnWords(inTurn)}${own}`), unknown }
}

function inTurnWords(names: readonly string[]): string {
  const more = names.length - namedMax
  const named = more <= 1 ? names : names.slice(0, namedMax)
  return `${named.join(', then ')}${more <= 1 ? '' : ` and ${more} more`}`
}
