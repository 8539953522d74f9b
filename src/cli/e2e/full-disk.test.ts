/**
 * A coordinator whose disk is full: it says so, loses nothing that it has acknowledged, and goes on when there is
 * room again. A limit on the size of files (RLIMIT_FSIZE) stands for the full disk: it needs no rights, and its
 * writes fail in the same place.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { RunView } from '../../protocol/run-view.ts'
import { Fleet } from './fixtures/fleet.ts'
import { Stage, until } from './fixtures/stage.ts'

test('a full disk is said, and nothing acknowledged is lost', async () => {
  await using stage = await Stage.open()
  const fleet = await Fleet.open(stage, [], { fileKibMax: 512 })
  const acknowledged: string[] = []
  const submit = async (): Promise<boolean> => {
    const prefix = randomBytes(64).toString('hex')
    const files = Array.from(
      { length: 500 },
      (_, index) => `${prefix}/${randomBytes(32).toString('hex')}-${index}.test`,
    )
    const answer = await fleet.post('/runs', { framework: 'command', files }).catch(() => undefined)
    if (answer?.status !== 201) return false
    acknowledged.push(((await answer.json()) as RunView).run)
    return true
  }
  const submitting = (async () => {
    while (await submit());
  })()
  await until(async () => (await fleet.client.health()).status === 'degraded', 'a degraded state')
  const { problems } = await fleet.client.health()
  assert.match(problems[0]!, /^log: Cannot use the log in .*: disk I\/O error/)
  await submitting
  assert.ok(acknowledged.length > 0)
  // A medium that keeps failing wants another process.
  const { code, stderr } = await fleet.server.ended
  assert.equal(code, 3, stderr)
  assert.match(stderr, /Cannot use the log in .*: disk I\/O error/)

  await fleet.serveAgain()
  assert.equal((await fleet.client.health()).status, 'ok')
  const kept = new Map((await fleet.client.runs()).map((run) => [run.run, run.planned]))
  for (const run of acknowledged) assert.equal(kept.get(run), 500, run)
  assert.equal(await submit(), true, 'it goes on')
})
