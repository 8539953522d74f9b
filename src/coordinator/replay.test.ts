import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { plainSpec } from '../core/transcript.ts'
import type { RunSpec } from '../core/entities.ts'
import { MemoryLog } from '../log/memory.ts'
import { Coordinator } from './coordinator.ts'
import { replayLetters } from './replay.ts'
import { Retention } from './retention.ts'

const context = { env: { SECRET: 'x' }, detection: { framework: 'none' } }
const who = 'client:test'
const monthMs = 30 * 24 * 3_600_000

async function withCoordinator(use: (coordinator: Coordinator) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-replay-'))
  const limits = { finishedRunsMax: 1 }
  const coordinator = await Coordinator.open({ directory, version: '1', log: 'memory', history: false, limits })
  try {
    await use(coordinator)
  } finally {
    await coordinator.close()
    await rm(directory, { recursive: true, force: true })
  }
}

/** A run whose files are all lost; its letters. */
async function lostRun(coordinator: Coordinator, workspace: RunSpec['workspace'] = { type: 'none' }) {
  const { context: _, ...spec } = plainSpec
  const files = ['a', 'b']
  const { id } = await coordinator.submitRun({ who, spec: { ...spec, workspace }, files, context })
  await coordinator.submit({ type: 'abandon', run: id, why: 'nobody is there' })
  const letters = [...coordinator.state.letters.byId.values()].filter((letter) => letter.run === id)
  assert.equal(letters.length, 2)
  return { run: id, letters: letters.map((letter) => letter.id) }
}

/** Until state has let go of the run itself. */
async function forgotten(coordinator: Coordinator, run: string): Promise<void> {
  for (let more = 0; coordinator.state.runs.has(run); more += 1) {
    assert.ok(more < 5, 'it is forgotten once others have finished')
    await lostRun(coordinator)
    await coordinator.submit({ type: 'prune' })
  }
}

async function manifestOf(coordinator: Coordinator, text: string): Promise<{ key: string; file: string }> {
  const file = await coordinator.blobs.put(Buffer.from(text))
  const entry = { type: 'file', path: 'a', hash: file, bytes: text.length, executable: false }
  const manifest = { version: 1, name: 'n', entries: [entry] }
  return { key: await coordinator.blobs.put(Buffer.from(JSON.stringify(manifest))), file }
}

describe('replayLetters', () => {
  test('replays letters of a run that is forgotten, with its spec and context, and once', () =>
    withCoordinator(async (coordinator) => {
      const first = await lostRun(coordinator)
      await forgotten(coordinator, first.run)
      const [result] = await replayLetters(coordinator, { letters: first.letters, who, again: false })
      assert.ok(result?.ok, JSON.stringify(result))
      const run = coordinator.run(result.run)
      assert.deepEqual(
        run.tasks.map((task) => task.file),
        ['a', 'b'],
      )
      assert.deepEqual([run.spec.suite, run.spec.complete, run.who], ['unit', false, who])
      assert.deepEqual(await coordinator.contexts.get(run.spec.context), context)
      const [again] = await replayLetters(coordinator, { letters: first.letters, who, again: true })
      assert.ok(again && !again.ok)
      assert.match(again.detail, new RegExp(`being replayed by run ${run.id}`))
    }))

  test('several runs and letters that are not there each get an answer of their own', () =>
    withCoordinator(async (coordinator) => {
      const [one, two] = [await lostRun(coordinator), await lostRun(coordinator)]
      const letters = [one.letters[0]!, two.letters[0]!, 'd999', one.letters[1]!]
      const results = await replayLetters(coordinator, { letters, who, again: false })
      assert.deepEqual(
        results.map((result) => [result.letters, result.ok]),
        [
          [one.letters, true],
          [[two.letters[0]], true],
          [['d999'], false],
        ],
      )
    }))

  test('says so when the private context is gone', () =>
    withCoordinator(async (coordinator) => {
      const { run, letters } = await lostRun(coordinator)
      await coordinator.contexts.remove(coordinator.state.letters.sources.get(run)!.spec.context)
      const [result] = await replayLetters(coordinator, { letters, who, again: false })
      assert.ok(result && !result.ok)
      assert.match(result.detail, new RegExp(`private context of run ${run} is gone`))
      assert.match(result.hint ?? '', /muster run/)
    }))

  test('keeps the workspace of letters whatever its age, and says so when it is gone nevertheless', () =>
    withCoordinator(async (coordinator) => {
      const { key, file } = await manifestOf(coordinator, 'content')
      const unused = await coordinator.blobs.put(Buffer.from('nobody names this'))
      const first = await lostRun(coordinator, { type: 'travel', manifest: key })
      await forgotten(coordinator, first.run)
      const retention = new Retention({
        log: new MemoryLog(),
        blobs: coordinator.blobs,
        contexts: coordinator.contexts,
        seat: coordinator.seat,
        historyPosition: () => Infinity,
        fill: () => 0,
        logBlobs: async () => [],
        say: () => undefined,
      })
      await retention.collect(Date.now() + monthMs)
      assert.deepEqual(await coordinator.blobs.missing([key, file, unused]), [unused])
      const replay = () => replayLetters(coordinator, { letters: [first.letters[0]!], who, again: false })
      await coordinator.blobs.remove(file)
      const [gone] = await replay()
      assert.ok(gone && !gone.ok)
      assert.match(gone.detail, /the workspace is no longer kept \(1 of the workspace's files/)
      await coordinator.blobs.put(Buffer.from('content'))
      const [result] = await replay()
      assert.ok(result?.ok, JSON.stringify(result))
    }))

  test('lets go of a context when neither run nor letters need it', () =>
    withCoordinator(async (coordinator) => {
      const { run, letters } = await lostRun(coordinator)
      const reference = coordinator.state.letters.sources.get(run)!.spec.context
      await forgotten(coordinator, run)
      assert.ok(await coordinator.contexts.get(reference))
      await coordinator.submit({ type: 'discard', letters, who, why: 'not needed' })
      const deadlineMs = Date.now() + 10_000
      while ((await coordinator.contexts.get(reference)) !== undefined) assert.ok(Date.now() < deadlineMs)
    }))
})
