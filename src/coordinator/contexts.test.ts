import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { Blobs } from '../blobs/blobs.ts'
import { DirectoryBlobs } from '../blobs/directory.ts'
import { apply } from '../core/advance.ts'
import type { Event } from '../core/events.ts'
import { emptyState } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { MemoryLog } from '../log/memory.ts'
import { DirectoryContexts, type Contexts } from './contexts.ts'
import { Retention } from './retention.ts'
import { SealedContexts } from './sealed-contexts.ts'

const secret = randomBytes(32).toString('base64')
const context = { env: { TOKEN: 'swordfish' }, detection: { framework: 'jest' } }

type Place = { readonly directory: string; readonly blobs: Blobs }

async function withPlace(body: (place: Place) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'muster-contexts-'))
  try {
    await body({ directory, blobs: await DirectoryBlobs.open(join(directory, 'blobs')) })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function keysOf(blobs: Blobs): Promise<string[]> {
  const keys: string[] = []
  for await (const { key } of blobs.list()) keys.push(key)
  return keys.sort()
}

const backends: Record<string, (place: Place) => Promise<Contexts>> = {
  DirectoryContexts: ({ directory }) => DirectoryContexts.open(join(directory, 'contexts')),
  SealedContexts: async ({ blobs }) => new SealedContexts(blobs, [secret]),
}

for (const [name, open] of Object.entries(backends)) {
  describe(`${name} keeps private contexts`, () => {
    test('by a reference that another coordinator can use, until they are removed', () =>
      withPlace(async (place) => {
        const contexts = await open(place)
        const [one, two] = [await contexts.put('r1', context), await contexts.put('r2', context)]
        assert.notEqual(one, two)
        assert.notEqual(one, '')
        const other = await open(place)
        assert.deepEqual(await other.get(one), context)
        await other.remove(one)
        await other.remove(one)
        assert.equal(await contexts.get(one), undefined)
        assert.deepEqual(await contexts.get(two), context)
      }))

    test('and has nothing for a reference that nobody made', () =>
      withPlace(async (place) => {
        const contexts = await open(place)
        for (const reference of ['r0', 'a'.repeat(64)]) {
          assert.equal(await contexts.get(reference), undefined)
          await contexts.remove(reference)
        }
      }))

    test('and keeps those that something refers to', () =>
      withPlace(async (place) => {
        const contexts = await open(place)
        const kept = await contexts.put('r1', context)
        await contexts.put('r2', context)
        await contexts.keepOnly(new Set([kept]))
        assert.deepEqual(await contexts.get(kept), context)
      }))
  })
}

test('DirectoryContexts are files of this user alone, and what nothing refers to goes', () =>
  withPlace(async ({ directory }) => {
    const contexts = await DirectoryContexts.open(join(directory, 'contexts'))
    assert.equal(await contexts.put('r1', context), 'r1')
    await contexts.put('r2', context)
    assert.equal((await stat(join(directory, 'contexts', 'r1.json'))).mode & 0o777, 0o600)
    await contexts.keepOnly(new Map([['r2', 'anything']]))
    assert.deepEqual(await readdir(join(directory, 'contexts')), ['r2.json'])
    assert.equal(contexts.blobKey(), undefined)
    await assert.rejects(contexts.get('../blobs'), { code: 'not_found' })
  }))

describe('SealedContexts', () => {
  test('store nothing readable, and each time something else', () =>
    withPlace(async ({ blobs }) => {
      const contexts = new SealedContexts(blobs, [secret])
      const reference = await contexts.put('r1', context)
      assert.equal(contexts.blobKey(reference), reference)
      const stored = Buffer.from((await blobs.get(reference))!).toString('latin1')
      assert.doesNotMatch(stored, /swordfish|TOKEN|jest/)
      assert.ok(stored.startsWith('MCTX\x01'))
      assert.notEqual(await contexts.put('r1', context), reference)
    }))

  test('are opened after a rotation by who has the old secret too', () =>
    withPlace(async ({ blobs }) => {
      const next = randomBytes(32).toString('base64')
      const old = await new SealedContexts(blobs, [secret]).put('r1', context)
      const both = new SealedContexts(blobs, [next, secret])
      const young = await both.put('r2', context)
      assert.deepEqual(await both.get(old), context)
      const later = new SealedContexts(blobs, [next])
      assert.deepEqual(await later.get(young), context)
      await assert.rejects(later.get(old), (error: Error & { code?: string; hint?: string }) => {
        assert.equal(error.code, 'unavailable')
        assert.match(error.message, /sealed under the secret [0-9a-f]{16}, and this coordinator has [0-9a-f]{16}$/)
        assert.match(error.hint!, /after a rotation/)
        return true
      })
    }))

  test('that were altered, or are no contexts, are refused', () =>
    withPlace(async ({ blobs }) => {
      const contexts = new SealedContexts(blobs, [secret])
      const sealed = (await blobs.get(await contexts.put('r1', context)))!
      for (const [at, told] of [
        [0, /no sealed context/],
        [4, /of version/],
        [6, /sealed under the secret/],
        [14, /altered/],
        [30, /altered/],
        [sealed.length - 1, /altered/],
      ] as const) {
        const bytes = Buffer.from(sealed)
        bytes[at]! ^= 0x40
        await assert.rejects(contexts.get(await blobs.put(bytes)), told)
      }
      await assert.rejects(contexts.get(await blobs.put(sealed.subarray(0, 30))), /no sealed context/)
    }))

  test('refuse a secret that is too short', () =>
    withPlace(async ({ blobs }) => {
      for (const secrets of [[], [''], ['c2hvcnQ=']])
        assert.throws(() => new SealedContexts(blobs, secrets), { code: 'config_invalid' })
    }))

  test('of an imported log are found by their old references', () =>
    withPlace(async ({ blobs }) => {
      const key = await new SealedContexts(blobs, [secret]).put('r1', context)
      const contexts = new SealedContexts(blobs, [secret], { r1: key })
      assert.deepEqual(await contexts.get('r1'), context)
      assert.equal(contexts.blobKey('r1'), key)
      assert.equal(contexts.blobKey('r2'), undefined)
      await contexts.remove('r1')
      assert.deepEqual(await keysOf(blobs), [])
    }))

  test('live as long as their run, however long unused, and go when it is forgotten', () =>
    withPlace(async ({ blobs }) => {
      const contexts = new SealedContexts(blobs, [secret])
      const state = emptyState()
      await using log = new MemoryLog()
      const retention = new Retention({
        log,
        blobs,
        contexts,
        seat: {
          state,
          role: 'leading',
          epoch: 1,
          position: 0,
          followers: [],
          loadedSnapshotPosition: 0,
          snapshotMade: () => undefined,
          between: (look) => look(),
          submit: () => undefined,
          requestSnapshot: () => false,
        },
        historyPosition: () => 0,
        fill: () => 0,
        logBlobs: async () => [],
        say: (level, message) => assert.equal(level, 'info', message),
      })
      const commit = (event: Event) => {
        apply(state, event, 1)
        retention.committed({ position: 1, bytes: new Uint8Array(), events: [event], atMs: 1 })
      }
      const [before, during] = [await contexts.put('r1', context), await contexts.put('r2', context)]
      const stray = await blobs.put(Buffer.from('nobody names it'))
      const submitted = (run: string, reference: string): Event => ({
        type: 'run.submitted',
        run,
        who: 'x',
        spec: { ...plainSpec, context: reference },
        files: ['a'],
        estimates: [null],
      })
      // Known before this coordinator led.
      apply(state, submitted('r1', before), 1)
      commit(submitted('r2', during))
      await retention.collect(Date.now() + 30 * 24 * 3_600_000)
      assert.equal(await blobs.has(stray), false)
      assert.deepEqual(await keysOf(blobs), [before, during].sort())
      for (const run of ['r1', 'r2']) {
        commit({ type: 'run.finished', run, verdict: 'passed', why: '', wallMs: 1, lowerBoundMs: 1 })
        commit({ type: 'run.forgotten', run })
      }
      await retention.stop()
      assert.deepEqual(await keysOf(blobs), [])
    }))
})
