/**
 * What can be reached when estimates are off by up to a fifth either way and every process costs a start-up: for small suites
 * where no file dominates, Muster beside plans that are searched for by simulated annealing, knowing how far estimates
 * may be off. A plan says which files each host is given first, and which are left for later:
 *
 * - 'one process': nothing is left; the mean of the makespan over drawn durations is what the search makes small.
 * - 'with foresight': what is left is divided as if it were fluid, at the best level, with a start-up for each host that
 *   takes some, and by somebody who knows from then on what really takes how long. No scheduler can do that.
 *
 * All three are then measured with the same durations, others than those of the search. Where Muster is near both, more
 * can't be had by cutting better, only by better estimates. The search is no proof: a better plan may have escaped it.
 */
import { makespanMs } from '../src/scheduling/fixtures/one-run.ts'
import { Draws, estimated, hostsOf, isDominated, lowerBoundMs, meanOf, recordedSuites } from './parts/duration-sets.ts'
import { bestPlan, type Costs, ends } from './parts/plans.ts'
import { formatTable } from './table.ts'

const off = 0.2
/** Estimates that a suite is planned with, durations that each plan is made and measured for, and steps of a search. */
const counts = { estimates: 5, planned: 40, measured: 40, steps: 10_000 }

function really(estimatesMs: readonly number[], random: Draws): Float64Array {
  return Float64Array.from(estimatesMs, (ms) => ms / (1 + off * (2 * random.uniform() - 1)))
}

for (const kinds of [[1], [1, 2, 4]]) {
  const rows: (string | number)[][] = []
  for (const startupMs of [100, 1000])
    for (const { suite, durationsMs } of recordedSuites())
      for (const hosts of [4, 16]) {
        const speeds = hostsOf(hosts, kinds)
        if (!isDominated(durationsMs, speeds))
          rows.push([suite, hosts, startupMs, ...compare(durationsMs, speeds, startupMs)])
      }
  process.stdout.write(
    `${formatTable({
      title: `Mean makespan over the lower bound, estimates off by up to ${off * 100} %, hosts of speeds ${kinds.join(', ')}`,
      columns: ['suite', 'hosts', 'start-up ms', 'Muster', 'one process', 'with foresight'],
      rows,
    })}\n`,
  )
}

function compare(durationsMs: readonly number[], speeds: readonly number[], startupMs: number): number[] {
  const random = new Draws(7)
  const ratios: [number, number, number][] = []
  for (let draw = 1; draw <= counts.estimates; draw += 1) {
    const estimatesMs = estimated(durationsMs, draw, off)
    const costs: Costs = { estimatesMs, speeds, startupMs }
    const planned = Array.from({ length: counts.planned }, () => really(estimatesMs, random))
    const one = bestPlan(costs, planned, random, counts.steps, false)
    const foresight = bestPlan(costs, planned, random, counts.steps, true)
    for (let at = 0; at < counts.measured; at += 1) {
      const drawn = really(estimatesMs, random)
      const muster = makespanMs({ durationsMs: Array.from(drawn), estimatesMs, speeds, startupMs })
      const boundMs = lowerBoundMs(Array.from(drawn), speeds, startupMs)
      ratios.push([muster / boundMs, ends(costs, one, drawn) / boundMs, ends(costs, foresight, drawn) / boundMs])
    }
  }
  return [0, 1, 2].map((column) => meanOf(ratios.map((row) => row[column]!)))
}
