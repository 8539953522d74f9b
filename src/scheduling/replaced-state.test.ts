/** What strategies keep beside a state is right when the state is replaced by a snapshot. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import type { Input } from '../core/input.ts'
import { emptyState, replaceState, type State } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { builtinStrategies } from './strategies/builtin.ts'
import type { Strategy } from './strategy.ts'

function stateWith(runs: readonly string[], cpus: number): State {
  const state = emptyState()
  const capabilities = { os: 'linux', arch: 'x64', cpus, memoryBytes: 1, host: 'h', labels: {}, tools: {} }
  const inputs: Input[] = runs.map((run) => {
    return { type: 'submit', run, who: 'x', spec: { ...plainSpec, cpus: 1 }, files: ['f'], estimates: [1] }
  })
  inputs.push({ type: 'join', worker: 'w', name: 'w', version: '1', capabilities, draining: false })
  for (const input of inputs) advance(state, input, 0)
  return state
}

function placed({ place }: Strategy, state: State): string[] {
  const found: string[] = []
  for (const next of place({ state, available: () => true, nowMs: 1 }, undefined)) {
    advance(state, { type: 'assign', ...next }, 1)
    found.push(next.run)
  }
  return found
}

for (const strategy of builtinStrategies) {
  test(`${strategy.name}: places what a snapshot brings, on the workers that it brings`, () => {
    const state = stateWith(['a', 'b', 'c'], 1)
    assert.deepEqual(placed(strategy, state), ['a'])
    replaceState(state, stateWith(['b', 'd'], 4))
    assert.deepEqual(placed(strategy, state), ['b', 'd'])
  })
}
