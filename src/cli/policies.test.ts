import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { plainSpec } from '../core/transcript.ts'
import type { RecordedRun, Recording } from '../scheduling/recording.ts'
import { replay } from '../scheduling/replay.ts'
import { Policies } from './policies.ts'

const example = path.join(import.meta.dirname, '../../examples/scheduler-plugin/shortest-first.ts')
const capabilities = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 1, host: 'h', labels: {}, tools: {} }

/** A long run comes before a short one, while a first one keeps the only worker busy. */
function recording(): Recording {
  const run = (id: string, atMs: number, ms: number): RecordedRun => ({
    run: id,
    who: 'client:x',
    spec: plainSpec,
    submittedAtMs: atMs,
    startedAtMs: atMs,
    endedAtMs: atMs + ms,
    files: ['a'],
    estimatesMs: [ms],
    kinds: [0],
    durationsMs: [ms],
    startupMs: 0,
  })
  return {
    fromMs: 0,
    toMs: 700_000,
    strategy: 'history',
    runs: [run('first', 0, 10_000), run('long', 1000, 600_000), run('short', 2000, 1000)],
    workers: [{ worker: 'w', name: 'w', capabilities, joinedAtMs: 0 }],
    leftOut: [],
  }
}

test("Policies: a plugin's scheduler plays a recording like a built-in one; the same answer each time", async () => {
  const play = async () => {
    const policies = await Policies.load([example])
    const result = replay(recording(), policies.default, policies.named('shortest-first'), { type: 'same' })
    assert.deepEqual(policies.problems, [])
    return result
  }
  const result = await play()
  const ended = (id: string) => result.runs.find((run) => run.run === id)!.endedMs
  assert.deepEqual(ended('short').slice(1), [609_000, 9000])
  assert.equal(JSON.stringify(await play()), JSON.stringify(result))
})

test('Policies: one that throws is named, and the default places instead; an unknown one says which there are', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'muster-policies-'))
  try {
    const file = path.join(directory, 'broken.ts')
    await writeFile(
      file,
      `import { definePlugin } from 'muster/plugin'
       const broken = { name: 'broken', description: 'throws', order() { throw new Error('no') } }
       export default definePlugin({ name: 'p', schedulers: [broken] })`,
    )
    const policies = await Policies.load([file])
    const result = replay(recording(), policies.default, policies.named('broken'), { type: 'same' })
    assert.equal(result.replayed.unfinished, 0)
    assert.match(policies.problems.join(), /scheduler 'broken' did something wrong \d+ times; 'history' placed instead/)
    assert.throws(() => policies.named('none'), /--policy: expected one of history, .*, broken, received 'none'/)
  } finally {
    await rm(directory, { recursive: true })
  }
})
