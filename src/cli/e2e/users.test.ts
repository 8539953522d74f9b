/** Whose shares a run counts against: what its token says, and not what the caller says. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { after, before, test } from 'node:test'
import type { Problem } from '../../protocol/api.ts'
import type { RunView } from '../../protocol/run-view.ts'
import { Client } from '../../client/client.ts'
import { NodeTransport } from '../node-transport.ts'
import { Fleet } from './fixtures/fleet.ts'
import { Stage } from './fixtures/stage.ts'

let stage: Stage
let fleet: Fleet
before(async () => {
  stage = await Stage.open()
  fleet = await Fleet.open(stage)
})
after(() => stage[Symbol.asyncDispose]())

async function tokenOf(...args: string[]): Promise<string> {
  const { stdout, code } = await stage.muster(['token', 'user', ...args, '--data', stage.path('coordinator')])
  assert.equal(code, 0)
  return stdout.trim()
}

const as = (token: string) => ({ authorization: `Bearer ${token}`, 'muster-client': 'eve@laptop' })

async function post<T>(token: string, path: string, body: object, status: number): Promise<T> {
  const response = await fleet.post(path, body, as(token))
  const answer = (await response.json()) as T
  assert.equal(response.status, status, JSON.stringify(answer))
  return answer
}

const userOfRun = async ({ run }: RunView) =>
  ((await (await fleet.request(`/runs/${run}/spec`)).json()) as { user?: string }).user

const submission = { framework: 'command', files: ['a'], open: true }

test('a run counts against the user of its token; only a token made for it submits for others', async () => {
  const [ann, ci] = await Promise.all([tokenOf('ann'), tokenOf('ci', '--on-behalf', '--days', '30')])
  const own = await post<RunView>(ann, '/runs', submission, 201)
  assert.equal(await userOfRun(own), 'ann')
  const { code, detail, hint } = await post<Problem>(ann, '/runs', { ...submission, user: 'bob' }, 403)
  assert.deepEqual([code, detail], ['forbidden', "Cannot submit for user 'bob': this token is of 'ann'"])
  assert.match(hint!, /--on-behalf/)
  const bobs = await post<RunView>(ci, '/runs', { ...submission, user: 'bob' }, 201)
  assert.equal(await userOfRun(bobs), 'bob')
  const { detail: refused } = await post<Problem>(ci, '/runs', { ...submission, user: 'bob\nann' }, 400)
  assert.match(refused!, /Cannot submit for user "bob\\nann": expected a name of 1 to 256 characters/)
  // Nor by a run of somebody else's.
  const { detail: why } = await post<Problem>(ann, `/runs/${bobs.run}/tasks`, { files: ['b'] }, 403)
  assert.equal(why, `Cannot add tasks to run ${bobs.run} for user 'bob': this token is of 'ann'`)
  await post<Problem>(ann, '/tasks', { run: bobs.run, file: 'b' }, 403)
  await post(ci, '/tasks', { run: bobs.run, file: 'b' }, 201)
  assert.equal(await userOfRun(await post<RunView>(ann, `/runs/${bobs.run}/rerun`, {}, 200)), 'ann')
  assert.equal(await userOfRun(await post<RunView>(ci, `/runs/${bobs.run}/rerun`, {}, 200)), 'bob')
  assert.equal(await userOfRun(await post<RunView>(fleet.tokens.client, '/runs', submission, 201)), 'client')
})

test('a coordinator of before there were users’ tokens, or with an empty key for them, gets one when it starts again', async () => {
  const path = stage.path('coordinator', 'tokens.json')
  const { client, worker } = fleet.tokens
  fleet.server.kill('SIGTERM')
  await fleet.server.ended
  await writeFile(path, JSON.stringify({ client, worker, userKey: '' }))
  await fleet.serveAgain()
  const tokens = JSON.parse(await readFile(path, 'utf8')) as Record<string, string>
  assert.deepEqual([tokens['client'], tokens['worker'], tokens['userKey']?.length], [client, worker, 43])
  assert.equal(await userOfRun(await post<RunView>(await tokenOf('ann'), '/runs', submission, 201)), 'ann')
})

test('muster token user says what is wrong', async () => {
  for (const [args, words] of [
    [['user'], /expected the name/],
    [['user', 'client'], /other than 'client'/],
    [['user', 'ann', '--days', '0'], /--days/],
    [['client', 'ann'], /for 'muster token user'/],
    [['nobody'], /expected client, worker or user/],
  ] as const) {
    const { code, stderr } = await stage.muster(['token', ...args, '--data', stage.path('coordinator')])
    assert.notEqual(code, 0)
    assert.match(stderr, words)
  }
})

test('on its own host a run counts against the host’s user', async () => {
  const transport = new NodeTransport(`unix:${stage.path('coordinator', 'muster.sock')}`)
  const client = new Client(transport, 'eve@laptop')
  const run = await client.submit(submission, 'first')
  assert.equal(await userOfRun(run), userInfo().username)
  await assert.rejects(
    client.submit({ ...submission, user: 'eve' }, 'second'),
    /Cannot submit for user 'eve': this host's user/,
  )
  transport.close()
})
