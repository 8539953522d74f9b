/**
 * `npm run sim`: simulates many plans and says what came of them.
 *
 *   --seed N      the first seed (default 1)
 *   --seeds M     how many (default 300)
 *   --profile P   safety, liveness or harsh; default: all three in turn
 *   --plan FILE   replays one plan instead
 *   --shrink      makes a failing plan as small as it goes
 *   --trace       shows what happened, even when nothing failed
 *   --lines N     of the trace, the last (default 120)
 *   --keep        goes on after a failure, and counts at the end which checks failed how often
 *
 * Exit code 1 when a check failed: its seed, plan and the end of its trace are printed. How it works is
 * told in docs/internals/simulator.md.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Counters } from '../src/testing/sim/counters.ts'
import { profiles, type Plan, type Profile } from '../src/testing/sim/plan.ts'
import { planOf } from '../src/testing/sim/plan-generator.ts'
import { shrink } from '../src/testing/sim/shrink.ts'
import { simulate, type Outcome } from '../src/testing/sim/simulation.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '300' },
    profile: { type: 'string' },
    plan: { type: 'string' },
    shrink: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    lines: { type: 'string', default: '120' },
    keep: { type: 'boolean', default: false },
  },
})

function wanted(): readonly Profile[] {
  if (values.profile === undefined) return profiles
  const profile = profiles.find((one) => one === values.profile)
  if (profile === undefined) {
    console.error(`sim: expected --profile ${profiles.join(', ')}, received ${values.profile}`)
    process.exit(2)
  }
  return [profile]
}

function report({ plan, violation }: Outcome): void {
  const small = values.shrink ? shrink(plan) : plan
  const again = simulate(small, undefined, true, Number(values.lines))
  for (const line of again.trace) console.log(line)
  console.log(`plan: ${JSON.stringify(small)}`)
  const found = again.violation ?? violation
  if (!found) return
  const { check, words } = found
  console.log(`FAILED: ${check}\n  ${words}`)
  console.log(
    `  seed ${plan.seed}, profile ${plan.profile}: npm run sim -- --seed ${plan.seed} --seeds 1 --profile ${plan.profile}`,
  )
}

function* plans(): Generator<Plan> {
  if (values.plan !== undefined) {
    yield JSON.parse(readFileSync(values.plan, 'utf8')) as Plan
    return
  }
  const some = wanted()
  const first = Number(values.seed)
  for (let at = 0; at < Number(values.seeds); at += 1) yield planOf(first + at, some[(first + at) % some.length]!)
}

const counters = new Counters()
const begunMs = performance.now()
let [seeds, events, virtualMs, failures] = [0, 0, 0, 0]
/** The outcome, when there was one. */
let only: Outcome | undefined
const checks = new Map<string, number[]>()
for (const plan of plans()) {
  const outcome = simulate(plan)
  counters.add(outcome.counters)
  only = seeds === 0 ? outcome : undefined
  seeds += 1
  events += outcome.events
  virtualMs += outcome.virtualMs
  if (outcome.violation === undefined) {
    if (values.trace) report(outcome)
    continue
  }
  failures += 1
  if (!values.keep) {
    report(outcome)
    break
  }
  const known = checks.get(outcome.violation.check) ?? []
  checks.set(outcome.violation.check, [...known, plan.seed])
}
const tookMs = performance.now() - begunMs
if (only !== undefined) console.log(`hash ${only.hash}, ${only.entries} log entries, ${only.epochs} epochs`)
for (const [name, count] of counters.all()) console.log(`${String(count).padStart(9)}  ${name}`)
for (const [check, found] of checks)
  console.log(`FAILED ${found.length}x: ${check} (seeds ${found.slice(0, 8).join(', ')})`)
const perSecond = (count: number): string => Math.round((count * 1000) / tookMs).toLocaleString('en')
console.log(
  `${seeds} seeds, ${failures} failed, in ${(tookMs / 1000).toFixed(1)} s: ${(seeds / (tookMs / 1000)).toFixed(1)} seeds/s, ` +
    `${perSecond(events)} events/s, ${Math.round(virtualMs / tookMs)}x real time`,
)
process.exitCode = failures > 0 ? 1 : 0
