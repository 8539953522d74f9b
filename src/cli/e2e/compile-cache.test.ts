/** Threads use their process's cache of compiled code; what tests start knows nothing of it. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Fleet } from './fixtures/fleet.ts'
import { shellSuite } from './fixtures/projects.ts'
import { Stage } from './fixtures/stage.ts'

test("a worker's cache of compiled code is not in the environment of tests; one that the user named is", async () => {
  for (const [cache, seen] of [
    ['', 'none'],
    ['named', 'named'],
  ] as const) {
    await using stage = await Stage.open()
    const named = cache === '' ? '' : stage.path(cache)
    await stage.write(shellSuite({ 'a.sh': `echo "\${NODE_COMPILE_CACHE:-none}" > "${stage.path('seen')}"` }))
    const env = { NODE_COMPILE_CACHE: named }
    const fleet = await Fleet.open(stage, [], { env })
    const data = stage.path('worker')
    const worker = stage.start(
      ['worker', '--join', fleet.url, '--token', fleet.tokens.worker, '--data', data, '--cpus', '1'],
      { env: { ...env, MUSTER_DATA: data } },
    )
    await worker.says(/joined/)
    const { code, stderr } = await stage.muster(['run', ...fleet.flags], { env })
    assert.equal(code, 0, stderr)
    const expected = seen === 'none' ? seen : stage.path(seen)
    assert.equal(readFileSync(stage.path('seen'), 'utf8').trim(), expected)
    const kept = cache === '' ? stage.path('tmp', 'node-compile-cache') : named
    assert.ok(existsSync(kept) && readdirSync(kept).length > 0, kept)
  }
})
