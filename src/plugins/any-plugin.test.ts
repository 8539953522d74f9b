/** Whatever a plugin does: state keeps its rules, nothing but the plugin is at fault, and all work is done. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ordered, placing, Table } from './fixtures/table.ts'
import { prepareGuard } from './guard.ts'
import type { PluginRun, PluginView } from './plugin.ts'

await prepareGuard()

/** What a plugin does the next time that it is asked; it starts over when there is nothing left to do. */
type Deed =
  | { readonly type: 'good' | 'nothing' | 'throw' | 'junk' | 'write' }
  | {
      readonly type: 'wild'
      readonly run: number
      readonly worker: number
      readonly task: number
      readonly cpus: number
    }

const small = fc.integer({ min: 0, max: 5 })
const deeds = fc.array(
  fc.oneof(
    fc.record({ type: fc.constantFrom('good', 'nothing', 'throw', 'junk', 'write') }) as fc.Arbitrary<Deed>,
    fc.record({ type: fc.constant('wild' as const), run: small, worker: small, task: small, cpus: small }),
  ),
  { minLength: 1, maxLength: 12 },
)

function plays(script: readonly Deed[]): ReturnType<typeof placing> {
  let at = 0
  return placing('any', function* (view: PluginView) {
    for (let turn = 0; turn < 4; turn += 1) {
      const deed = script[at % script.length]!
      at += 1
      const run = view.runs[0]
      const group = run?.groups[0]
      const worker = group?.free[0]
      if (deed.type === 'nothing') return
      if (deed.type === 'throw') throw new Error('at random')
      if (deed.type === 'junk') yield { run: 7 }
      else if (deed.type === 'write') (run as { priority: number }).priority = 3
      else if (deed.type === 'wild')
        yield { run: `r${deed.run}`, worker: `w${deed.worker}`, tasks: [deed.task], cpus: deed.cpus, why: '' }
      else if (worker) yield group!.batchOn(worker)
    }
  })
}

function fill(table: Table, runs: number, workers: number): void {
  for (let at = 0; at < workers; at += 1) table.worker(`w${at}`, 1 + (at % 3))
  for (let at = 0; at < runs; at += 1) table.run(`r${at}`, 1 + (at % 4), { project: `p${at % 3}`, cpus: 1 + (at % 2) })
}

test('a placing plugin that does anything: no rule is broken, and once it is suspended all work is done', () => {
  fc.assert(
    fc.property(deeds, fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 4 }), (script, runs, workers) => {
      const table = new Table([plays(script)], { roundMs: 5000 })
      fill(table, runs, workers)
      table.choose('any')
      for (let round = 0; round < 30; round += 1) {
        table.round()
        for (const worker of table.state.workers.values()) assert.ok(worker.cpusUsed <= worker.capabilities.cpus)
        table.end()
      }
      // One that places nothing is within its rights; whoever chose it may choose another.
      if (table.state.queuedCount > 0) {
        table.choose('fifo')
        for (let round = 0; round < 30; round += 1) {
          table.round()
          table.end()
        }
      }
      assert.deepEqual([table.state.queuedCount, table.state.batches.size, table.state.active.size], [0, 0, 0])
    }),
    { numRuns: 100 },
  )
})

test('an order of any kind: the work is done, for every project, whatever was chosen for the others', () => {
  fc.assert(
    fc.property(
      fc.infiniteStream(fc.integer({ min: -3, max: 8 })),
      fc.array(fc.constantFrom('any', 'fifo', 'fair-share', 'missing', undefined), { minLength: 3, maxLength: 3 }),
      fc.integer({ min: 1, max: 9 }),
      (numbers, chosen, runs) => {
        const order = (given: readonly PluginRun[]) => {
          const { value } = numbers.next()
          if (value === -1) throw new Error('at random')
          if (value === -2) return [given[0], given[0]]
          return [...given].slice(Math.max(0, value)).reverse()
        }
        const table = new Table([ordered('any', order)], { roundMs: 5000 })
        fill(table, runs, 2)
        for (const [at, strategy] of chosen.entries()) if (strategy) table.choose(strategy, { project: `p${at}` })
        for (let round = 0; round < 40 && table.state.active.size > 0; round += 1) {
          table.round()
          table.end()
        }
        assert.equal(table.state.active.size, 0)
      },
    ),
    { numRuns: 100 },
  )
})
