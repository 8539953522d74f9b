/**
 * `npm run chaos`: a real cluster under faults, round after round, and a check of everything after each.
 *
 *   --rounds N     how many (default 10)
 *   --seed N       what the plan is drawn from (default: the time)
 *   --plan FILE    carries out a plan that was written down instead
 *   --short        two fixed rounds, for CI
 *   --files N      files of the suite (default 40; short: 24)
 *   --keep         leaves the logs also when all went well
 *
 * Exit code 1 when a check failed; the plan, and where everybody's logs are kept, are printed.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import type { Ground } from './ground.ts'
import { directoryOf, removeLeftovers } from './leftovers.ts'
import { Loopback } from './loopback.ts'
import { openNamespaces } from './namespaces.ts'
import { faultWords, hosts, needsNetwork, type Plan } from './plan.ts'
import { planOf, shortPlan } from './plan-generator.ts'
import { Session, type RoundResult } from './session.ts'
import { summary } from './summary.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    seed: { type: 'string' },
    plan: { type: 'string' },
    short: { type: 'boolean', default: false },
    files: { type: 'string' },
    keep: { type: 'boolean', default: false },
    'no-network': { type: 'boolean', default: false },
  },
})

function number(name: string, text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 0) return value
  console.error(`chaos: --${name}: expected a whole number, received '${text}'`)
  process.exit(2)
}

const seed = number('seed', values.seed ?? String(Date.now() % 1_000_000))
const files = number('files', values.files ?? (values.short ? '24' : '40'))
const root = directoryOf(process.pid)

function planned(network: boolean): Plan {
  if (values.plan !== undefined) return JSON.parse(readFileSync(values.plan, 'utf8')) as Plan
  return values.short ? shortPlan(seed, network) : planOf(seed, number('rounds', values.rounds), network)
}

async function openGround(): Promise<Ground> {
  const disks = path.join(root, 'disks')
  let reason = 'not wanted'
  const tell = (words: string): void => {
    reason = words
  }
  const namespaces = values['no-network'] ? undefined : await openNamespaces(hosts, disks, tell)
  return namespaces ?? new Loopback(hosts, disks, reason)
}

function line(number: number, of: number, faults: readonly string[], result: RoundResult): string {
  const { again, requeues, violations } = result
  const causes = [...requeues].map(([cause, count]) => `${cause} ${count}`).join(', ')
  const parts = [
    `${result.failovers} failovers`,
    `${result.runs} runs, ${result.submissions} submissions`,
    `${again.count} executed again${causes === '' ? '' : ` (put back: ${causes})`}`,
    ...(again.overlaps > 0 ? [`${again.overlaps} overlaps of frozen workers`] : []),
    `longest gap ${Math.round(result.gapMs)} ms`,
    `at rest after ${(result.restMs / 1000).toFixed(1)} s`,
    `${Math.round(result.tookMs)} ms`,
    violations.length === 0 ? 'ok' : 'FAILED',
  ]
  return `${String(number).padStart(3)}/${of}  ${faults.join('; ')}\n         ${parts.join(' · ')}`
}

/** With the logs, without what is large and worth nothing. */
function keep(plan: Plan, failed: boolean): string {
  writeFileSync(path.join(root, 'logs', 'plan.json'), `${JSON.stringify(plan)}\n`)
  const kept = path.join(os.tmpdir(), `muster-chaos-${failed ? 'failed' : 'kept'}-${plan.seed}-${process.pid}`)
  renameSync(path.join(root, 'logs'), kept)
  return kept
}

const removed = await removeLeftovers()
if (removed.length > 0) console.log(`chaos: removed what a killed session had left: ${removed.join(', ')}`)
mkdirSync(root)
/** What there is to clean up, as it comes into being. */
const open: { ground?: Ground; session?: Session } = {}
let ended: Promise<void> | undefined

/** Whoever comes second waits for the first. */
function end(): Promise<void> {
  ended ??= (async () => {
    await open.session?.[Symbol.asyncDispose]()
    await open.ground?.[Symbol.asyncDispose]()
    rmSync(root, { recursive: true, force: true })
  })()
  return ended
}

// Pressed twice, it still cleans up.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (ended) return
    console.error(`chaos: ${signal}, cleaning up`)
    void end().finally(() => process.exit(130))
  })
}

const ground = await openGround()
open.ground = ground
const plan = planned(ground.hasNetwork)
if (!ground.hasNetwork && plan.rounds.some((round) => round.faults.some(needsNetwork))) {
  console.error('chaos: this plan cuts networks, and that can not be done here')
  process.exitCode = 2
} else {
  try {
    process.exitCode = (await play(ground, plan)) ? 0 : 1
  } catch (error) {
    // What is pulled from under it when it is interrupted is no news.
    if (ended) await ended
    process.exitCode = 1
    console.error(error)
    console.error(`chaos: this session itself failed; the logs are in ${keep(plan, true)}`)
  }
}
await end()

/** Resolves to whether all was well. */
async function play(on: Ground, { seed: planSeed, rounds }: Plan): Promise<boolean> {
  console.log(`chaos: seed ${planSeed}, ${rounds.length} rounds, ${on.lack ?? 'every host with a network of its own'}`)
  const begunMs = performance.now()
  const session = new Session(on, root, planSeed, files)
  open.session = session
  await session.start()
  console.log(`chaos: the cluster serves after ${((performance.now() - begunMs) / 1000).toFixed(1)} s`)
  const results: RoundResult[] = []
  for (const [at, round] of rounds.entries()) {
    const result = await session.round(round)
    results.push(result)
    console.log(line(at + 1, rounds.length, round.faults.map(faultWords), result))
    if (result.violations.length > 0) break
  }
  console.log(summary(plan, results, performance.now() - begunMs))
  const last = results.at(-1)
  if (last && last.violations.length > 0) {
    explain(results.length, last)
    return false
  }
  if (values.keep) console.log(`chaos: the logs are in ${keep(plan, false)}`)
  return true
}

function explain(rounds: number, failure: RoundResult): void {
  console.log(`\nplan: ${JSON.stringify({ seed: plan.seed, rounds: [plan.rounds[rounds - 1]] })}`)
  for (const words of failure.done) console.log(`  ${words}`)
  for (const { check, words } of failure.violations.slice(0, 12)) console.log(`FAILED: ${check}\n  ${words}`)
  console.log(`chaos: the logs are in ${keep({ ...plan, rounds: plan.rounds.slice(0, rounds) }, true)}`)
}
