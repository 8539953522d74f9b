import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from './advance.ts'
import { aptitudeOf, countDurations } from './aptitude.ts'
import { emptyState, type State } from './state.ts'
import { plainSpec } from './transcript.ts'

function suitesAndMachines(suites: number, machines: number): State {
  const state = emptyState()
  for (let at = 0; at < suites; at += 1) {
    const spec = { ...plainSpec, project: `p${at % 3}`, suite: `s${at}` }
    advance(state, { type: 'submit', run: `r${at}`, who: 'x', spec, files: ['a'], estimates: [9] }, 1)
  }
  for (let at = 0; at < machines; at += 1) {
    const plain = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 1, labels: {}, tools: {}, host: `h${at}` }
    const capabilities = at % 2 === 0 ? plain : { ...plain, fingerprint: `f${at}` }
    advance(state, { type: 'join', worker: `w${at}`, name: 'w', version: '1', capabilities, draining: false }, 1)
  }
  return state
}

/** By the table alone, as a snapshot holds it. */
function byTable(state: State): number[] {
  const all: number[] = []
  const rows: State['aptitudes'] = new Map(structuredClone([...state.aptitudes]))
  const other = { ...state, aptitudes: rows }
  for (const run of state.runs.values())
    for (const worker of state.workers.values()) all.push(aptitudeOf(other, run, worker))
  return all
}

test('aptitudeOf: what is found is what the table says, also of rows that were forgotten for others', () => {
  const state = suitesAndMachines(50, 60)
  const runs = [...state.runs.values()]
  const workers = [...state.workers.values()]
  const ask = () => runs.flatMap((run) => workers.map((worker) => aptitudeOf(state, run, worker)))
  assert.deepEqual(new Set(ask()), new Set([1]))
  let pick = 1
  for (let at = 0; at < 12_000; at += 1) {
    pick = (pick * 48_271) % 2_147_483_647
    const run = runs[pick % runs.length]!
    const worker = workers[(pick >> 8) % workers.length]!
    countDurations(state, run, worker, 1000 + (pick % 100_000), 1000 + (pick % 77_777))
    const { fingerprint, host } = worker.capabilities
    const known = state.aptitudes.get(JSON.stringify([run.spec.project, run.spec.suite, fingerprint ?? host]))!
    assert.equal(aptitudeOf(state, run, worker), (30_000 + known.expectedMs) / (30_000 + known.actualMs))
    if (at % 3000 === 0) assert.deepEqual(ask(), byTable(state))
  }
  // There are 3000 pairs, more than are kept.
  assert.equal(state.aptitudes.size, 2000)
  assert.deepEqual(ask(), byTable(state))
  assert.equal(ask().filter((one) => one === 1).length >= 1000, true)
})
