/**
 * A scheduler for a team that waits for small runs: what takes the least is served first, so that a run of one file isn't
 * behind one of an hour. Alone that would let long runs wait for as long as short ones come, so every minute of waiting
 * makes a run as good as one that is `minutesForgiven` shorter.
 */
import { definePlugin, orderedStrategy, smallestFirst } from 'muster/plugin'

type Config = {
  readonly minutesForgiven: number
  /** Suites that are served before all others. */
  readonly first: readonly string[]
}

const shortestFirst = orderedStrategy<Config>({
  name: 'shortest-first',
  description: 'what takes the least first; waiting makes up for length',
  configSchema: {
    type: 'object',
    properties: {
      minutesForgiven: { type: 'number', minimum: 0.1, default: 1 },
      first: { type: 'array', items: { type: 'string' }, default: [] },
    },
    additionalProperties: false,
  },
  order(runs, view, { minutesForgiven, first }) {
    const preferred = new Set(first)
    const length = (run: (typeof runs)[number]) => run.remainingMs - minutesForgiven * (view.nowMs - run.createdAtMs)
    return [
      ...smallestFirst(
        runs.filter((run) => preferred.has(run.suite)),
        length,
      ),
      ...smallestFirst(
        runs.filter((run) => !preferred.has(run.suite)),
        length,
      ),
    ]
  },
  metrics: (view) => ({
    waiting_runs: view.runs.length,
    longest_wait_seconds: Math.max(0, ...view.runs.map((run) => view.nowMs - run.createdAtMs)) / 1000,
  }),
})

export default definePlugin({ name: 'shortest-first', version: '0.1.0', schedulers: [shortestFirst] })
