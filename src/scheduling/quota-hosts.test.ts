/** A batch larger than the quota may run alone; where a smaller host is free, it goes there and keeps to it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import type { Input } from '../core/input.ts'
import { defaultLimits } from '../core/limits.ts'
import { emptyState } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { placements } from './fixtures/placing.ts'

function hostsOf(quota: number | undefined, cpus: readonly number[]): readonly string[] {
  const shares = quota === undefined ? undefined : new Map([['user:ann', { cpus: quota }]])
  const state = emptyState(defaultLimits, shares)
  const feed = (input: Input) => advance(state, input, 0)
  feed({ type: 'raise-format', format: 3 })
  for (const [at, count] of cpus.entries()) {
    const worker = `w${at}`
    const capabilities = { os: 'linux', arch: 'x64', cpus: count, memoryBytes: 1, host: worker, labels: {}, tools: {} }
    feed({ type: 'join', worker, name: worker, version: '1', capabilities, draining: false })
  }
  feed({ type: 'submit', run: 'R', who: 'client:ann', spec: plainSpec, files: ['a'], estimates: [null] })
  const hosts: string[] = []
  for (const next of placements({ state, available: () => true }, 0)) {
    feed(next)
    if (next.type === 'assign') hosts.push(next.worker)
  }
  return hosts
}

test('a batch goes to a host within the quota where one is free, else runs alone beyond it', () => {
  assert.deepEqual(hostsOf(1, [2, 1]), ['w1'])
  assert.deepEqual(hostsOf(1, [2, 4]), ['w1'])
  assert.deepEqual(hostsOf(2, [2, 1]), ['w0'])
  assert.deepEqual(hostsOf(undefined, [2, 1]), ['w0'])
})
