/** What would make waiting work start sooner: concrete things that a person can do, or wait for. For people, never for decisions. */
import { scopesOf } from '../core/holdings.ts'
import type { Group, Run } from '../core/state.ts'
import { formatDuration } from '../stdx/duration.ts'
import { remainingMs } from './urgency.ts'
import { needWords } from './need-words.ts'
import { forWords, spanWords } from './waiting-words.ts'
import type { Reason, Situation } from './reason.ts'

export type Sooner = {
  readonly type:
    | 'resume'
    | 'wait'
    | 'worker'
    | 'need'
    | 'priority'
    | 'workers-max'
    | 'quota'
    | 'reset-breaker'
    | 'cancel-first'
  readonly words: string
}

const noHistory = 'when is not known, without history of what runs there'

/** Of the API; beyond, nothing is offered. */
const priorityMax = 1000

/** Tries out in which order the strategy would serve runs, one of them changed. */
export type Reorder = (change: { readonly run: Run; readonly as: Run }) => readonly Run[] | undefined

export function soonerThan(
  situation: Situation,
  run: Run,
  group: Group,
  reasons: readonly Reason[],
  reorder: Reorder,
): readonly Sooner[] {
  const found: Sooner[] = []
  for (const reason of reasons) {
    // Where something else has to go as well, no worker starts it now.
    const isLast = reasons.every((other) => other === reason || 'any' in other)
    found.push(...ofReason(situation, run, group, reason, isLast))
  }
  if (reasons.some((reason) => placeDecides(situation, run, reason))) {
    const priority = priorityToBeNext(situation, run, reorder)
    if (priority !== undefined)
      found.push({ type: 'priority', words: `raising its priority to ${priority} (now ${run.priority}) puts it next` })
  }
  return found
}

/** Whether it would go away if the run came first. */
function placeDecides({ order = [] }: Situation, run: Run, reason: Reason): boolean {
  if (reason.type === 'quota') {
    // A quota that is spent is spent for whoever is next; only among those that wait for it, too, does the place count.
    const ahead = order.slice(0, Math.max(0, order.indexOf(run)))
    return ahead.some((first) => scopesOf(first).includes(reason.scope))
  }
  return (
    reason.type === 'busy' || reason.type === 'reserved' || reason.type === 'lock-kept' || reason.type === 'quota-kept'
  )
}

function ofReason(
  { view, nowMs, fleets }: Situation,
  run: Run,
  group: Group,
  reason: Reason,
  isLast: boolean,
): readonly Sooner[] {
  const starts = isLast ? 'would start it now' : 'is needed, too'
  switch (reason.type) {
    case 'paused':
      return [{ type: 'resume', words: `'muster resume ${run.id}' lets it go on` }]
    case 'no-worker':
      return [{ type: 'worker', words: `a worker${withWords(run, group)} ${starts}: 'muster worker --join …'` }]
    case 'no-fit': {
      const meant = reason.unknown?.filter((one) => one.similar !== undefined) ?? []
      if (meant.length > 0)
        return meant.map((one) => ({
          type: 'need',
          words: `'${one.similar!}' instead of '${one.name}' in what it requires, if that is what was meant`,
        }))
      const wanted = reason.nearest.lacks.map((lack) => lack.wanted).join(' and ')
      return [{ type: 'worker', words: `a worker like ${reason.nearest.name} with ${wanted} ${starts}` }]
    }
    case 'busy': {
      const [first] = reason.workers
      const holder = first!.holders[0]
      const more: Sooner[] = []
      if (isLast) more.push({ type: 'worker', words: `one more worker${withWords(run, group)} ${starts}` })
      if (holder?.silent)
        more.push({ type: 'worker', words: `worker ${holder.name} coming back, which has run ${holder.run}` })
      else if (holder && first!.free.outrun)
        more.push({ type: 'wait', words: `${first!.name} getting free; ${noHistory}` })
      else if (holder)
        more.push({ type: 'wait', words: `${first!.name} may be free in ${spanWords(first!.free, nowMs)}` })
      return more
    }
    case 'reserved': {
      if (!isLast) return []
      const leftMs = remainingMs(view.state.runs.get(reason.run)!, fleets)
      return [
        {
          type: 'worker',
          words: `one more worker for run ${reason.run} (about ${formatDuration(leftMs)} of work) or for this one`,
        },
      ]
    }
    case 'lock': {
      const [holder] = reason.holders
      if (holder!.silent)
        return [
          { type: 'worker', words: `worker ${holder!.name} coming back, which holds the lock for run ${holder!.run}` },
        ]
      return [{ type: 'wait', words: `run ${holder!.run} holds the lock for ${forWords(holder!.ends, nowMs)}` }]
    }
    case 'quota':
      return [{ type: 'quota', words: `a larger quota for ${reason.scope} (${reason.of}: ${reason.max})` }]
    case 'workers-max':
      return [{ type: 'workers-max', words: `more than --workers ${reason.max}` }]
    case 'class-breaker':
      return [{ type: 'reset-breaker', words: `'muster breakers reset ${reason.scope}', once what failed is mended` }]
    case 'worker-breakers':
      return [{ type: 'reset-breaker', words: `'muster breakers reset worker:ID', once what failed is mended` }]
    case 'after-runs':
      return [
        {
          type: 'wait',
          words: `run ${reason.runs[0]!.run} has to end${reason.runs[0]!.when === 'passed' ? ' and pass' : ''} first`,
        },
      ]
    case 'after-tasks':
    case 'lock-kept':
    case 'quota-kept':
    case 'back-off':
    case 'recycling':
    case 'avoided':
    case 'probing':
    case 'sooner-elsewhere':
    case 'cancelling':
    case 'scheduler':
      return []
  }
}

/** What any worker must have: `` with gpu.memory >= 24GiB``. */
function withWords(run: Run, group: Group): string {
  const labels = Object.entries(run.spec.labels).map(([key, value]) => `label ${key}=${value}`)
  // Nothing of the rest is something that a worker has.
  const { cpus, memoryBytes, gpus, resources, where: expression } = group.need
  const need = { cpus, memoryBytes, gpus, resources, where: expression }
  const words = [...labels, needWords(need)].filter((part) => part !== '').join(', ')
  const where = run.spec.workspace.type === 'in-place' ? ' on its host' : ''
  return `${where}${words === '' ? '' : ` with ${words}`}`
}

/** Undefined when it is next anyway, or when priorities don't decide. */
function priorityToBeNext({ order }: Situation, run: Run, reorder: Reorder): number | undefined {
  const at = order?.indexOf(run) ?? -1
  if (at <= 0) return undefined
  const isNext = (priority: number) => {
    const as = { ...run, priority }
    return reorder({ run, as })?.[0] === as
  }
  if (!isNext(priorityMax)) return undefined
  let [low, high] = [run.priority, priorityMax]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (isNext(middle)) high = middle
    else low = middle
  }
  return high
}
