/** What is foretold of all runs at once agrees with what `muster why` says of one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import type { RunSpec } from '../core/entities.ts'
import type { Shares } from '../core/shares.ts'
import { defaultLimits } from '../core/limits.ts'
import { emptyState, type State } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { placements } from './fixtures/placing.ts'
import { Fleets } from './fleet.ts'
import { forecasts } from './forecast.ts'
import { history } from './strategies/builtin.ts'
import { explain } from './why.ts'

const startMs = 1_800_000_000_000
const minute = 60_000

class World {
  readonly state: State
  nowMs = startMs

  constructor(shares: Shares = new Map()) {
    this.state = emptyState(defaultLimits, shares)
    advance(this.state, { type: 'raise-format', format: 3 }, startMs)
    for (const worker of ['v', 'w']) {
      const capabilities = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 1, host: worker, labels: {}, tools: {} }
      advance(this.state, { type: 'join', worker, name: worker, version: '1', capabilities, draining: false }, startMs)
    }
  }

  get view() {
    return { state: this.state, available: () => true }
  }

  /** One file of a minute, given out if it can be. */
  submit(run: string, spec: Partial<RunSpec> = {}): void {
    const submitted = { ...plainSpec, ...spec }
    const input = { type: 'submit', run, who: 'ann', spec: submitted, files: ['a'], estimates: [minute] } as const
    advance(this.state, input, this.nowMs)
    for (const next of placements(this.view, this.nowMs, history)) advance(this.state, next, this.nowMs)
  }

  passed(run: string): void {
    const [id] = this.state.runs.get(run)!.batches
    const { worker, token } = this.state.batches.get(id!)!
    const reports = [{ task: 0, outcome: 'passed' as const, durationMs: 1, counts: [1, 0, 0, 0] as const }]
    advance(this.state, { type: 'report', worker, batch: id!, token, reports }, this.nowMs)
    const how = {
      reason: 'completed',
      exitCode: 0,
      signal: null,
      startupMs: 1,
      wallMs: 1,
      interrupted: [],
      timedOut: [],
      errors: [],
    } as const
    advance(this.state, { type: 'end', worker, batch: id!, token, ...how }, this.nowMs)
  }

  startsInMs(run: string): number | undefined {
    return forecasts(this.view, new Fleets(this.view), this.nowMs).get(run)!.startsInMs
  }

  whyStartsInMs(run: string): readonly [number, number] {
    const found = explain(
      this.view,
      this.state.runs.get(run)!,
      undefined,
      { strategy: history, config: undefined },
      this.nowMs,
    )
    return [found.starts!.fromMs - this.nowMs, found.starts!.toMs - this.nowMs]
  }
}

test('forecasts: a run whose quota of an hour is spent starts when that is so no more, and holds up nobody behind it', () => {
  const world = new World(new Map([['project:p', { cpuHours: 0.001 }]]))
  world.submit('A')
  world.nowMs += minute
  world.passed('A')
  world.submit('B')
  const waitMs = world.startsInMs('B')!
  assert.ok(waitMs > 55 * minute && waitMs < 65 * minute, String(waitMs))
  assert.deepEqual(world.whyStartsInMs('B'), [waitMs, waitMs])
  const other = { project: 'other' }
  world.submit('C', other)
  world.submit('D', other)
  world.submit('E', other)
  assert.equal(world.startsInMs('E'), 2 * minute, 'behind C and D alone')
})

test('forecasts: a run whose lock or whose quota at once is taken starts when that is free', () => {
  const needs = [{ locks: [{ name: 'db', mode: 'exclusive' as const }] }]
  const shares = new Map([['project:few', { cpus: 1 }]])
  for (const [spec, given] of [
    [{ needs }, new Map()],
    [{ project: 'few' }, shares],
  ] as const) {
    const world = new World(given)
    world.submit('A', spec)
    world.nowMs += 2 * minute
    // It is late, and what holds up is over by its estimate.
    world.submit('B', spec)
    const [fromMs, toMs] = world.whyStartsInMs('B')
    const startsInMs = world.startsInMs('B')!
    assert.ok(startsInMs > 0 && fromMs <= startsInMs && startsInMs <= toMs, `${fromMs} ${startsInMs} ${toMs}`)
  }
})

test('forecasts: nothing is foretold of a run whose class waits until somebody resets its breaker', () => {
  const world = new World()
  advance(world.state, { type: 'open-breaker', scope: 'class:p/unit', who: 'ann', why: 'asked' }, world.nowMs)
  world.submit('A')
  assert.equal(world.startsInMs('A'), undefined)
})
