/** Whose shares a run counts against: what its token says, and not what the caller says. */
import assert from 'node:assert/strict'
import { userInfo } from 'node:os'
import { after, before, test } from 'node:test'
import type { Problem } from '../../protocol/api.ts'
import type { RunView } from '../../protocol/run-view.ts'
import type { UserTokensView } from '../../protocol/user-tokens.ts'
import { Client } from '../../client/client.ts'
import { NodeTransport } from '../node-transport.ts'
import { Coordinators } from './fixtures/coordinators.ts'
import { Fleet } from './fixtures/fleet.ts'
import { Stage, until } from './fixtures/stage.ts'

let stage: Stage
let fleet: Fleet
before(async () => {
  stage = await Stage.open()
  fleet = await Fleet.open(stage)
})
after(() => stage[Symbol.asyncDispose]())

async function tokens(...args: string[]): Promise<string> {
  const { stdout, stderr, code } = await stage.muster(['token', ...args, '--data', stage.path('coordinator')])
  assert.equal(code, 0, stderr)
  return stdout
}

const tokenOf = async (...args: string[]) => (await tokens('user', ...args)).trim()
const idOf = (token: string) => token.slice(0, 13)

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

const asked = async (token: string) => (await fleet.request('/runs', { headers: as(token) })).status

test('a token is taken back by itself, a user’s all together, and both hold after a restart', async () => {
  const [laptop, ci, other] = await Promise.all([tokenOf('dora'), tokenOf('dora', '--days', '30'), tokenOf('emil')])
  const listed = await tokens('list')
  for (const token of [laptop, ci]) assert.match(listed, new RegExp(`${idOf(token)} +dora +no `))
  assert.match(listed, new RegExp(`${idOf(ci)} .*\\d{4}-\\d\\d-\\d\\d$`, 'm'))
  assert.ok(!listed.includes(laptop), 'a secret is shown once')
  assert.equal(await tokens('revoke', idOf(laptop)), `${idOf(laptop)} of dora is no longer good\n`)
  assert.deepEqual([await asked(laptop), await asked(ci), await asked(other)], [401, 200, 200])
  fleet.server.kill('SIGKILL')
  await fleet.serveAgain()
  assert.deepEqual([await asked(laptop), await asked(ci), await asked(other)], [401, 200, 200])
  const again = await tokenOf('dora')
  // The whole token names itself, too.
  const { tokens: gone } = JSON.parse(await tokens('revoke', other, 'dora', '--json')) as UserTokensView
  assert.deepEqual(gone.map((one) => one.token).toSorted(), [other, ci, again].map(idOf).toSorted())
  assert.deepEqual([await asked(ci), await asked(again), await asked(other)], [401, 401, 401])
})

test('what takes no token back says so, and takes none of the others back', async () => {
  const token = await tokenOf('fred')
  const { code, stderr } = await stage.muster([
    'token',
    'revoke',
    'fred',
    'nobody',
    '--data',
    stage.path('coordinator'),
  ])
  assert.equal(code, 2)
  assert.match(stderr, /no token of a user "nobody"/)
  assert.equal(await asked(token), 200)
})

test('who has a user’s token, or the shared one, can neither make nor take back tokens', async () => {
  for (const token of [await tokenOf('gina'), fleet.tokens.client]) {
    const { detail } = await post<Problem>(token, '/tokens', { user: 'gina', onBehalf: true }, 403)
    assert.match(detail!, /only for the owner, over the Unix socket/)
    await post(token, '/tokens/revoke', { tokens: ['gina'] }, 403)
    assert.equal((await fleet.request('/tokens', { headers: as(token) })).status, 403)
  }
})

test('who watches by a token that is taken back is told so', async () => {
  const token = await tokenOf('hugo')
  const run = await post<RunView>(token, '/runs', submission, 201)
  const transport = new NodeTransport(fleet.url, token)
  const feed = new Client(transport, 'hugo').watch(run.run)[Symbol.asyncIterator]()
  assert.equal((await feed.next()).done, false)
  await tokens('revoke', token)
  await assert.rejects(async () => {
    while (!(await feed.next()).done);
  }, /no longer lets this in: the token was taken back/)
  transport.close()
})

test('in a cluster a token opens every coordinator, until it is taken back at any', async () => {
  await using stageOfCluster = await Stage.open()
  await using cluster = await Coordinators.open(stageOfCluster, 2)
  const at = async (name: string, ...args: string[]) => {
    const { stdout, stderr, code } = await stageOfCluster.muster([
      'token',
      ...args,
      '--data',
      stageOfCluster.path(name),
    ])
    assert.equal(code, 0, stderr)
    return stdout.trim()
  }
  const opens = async (name: string, token: string) =>
    (await fetch(`${cluster.url(name)}/api/v1/runs`, { headers: { authorization: `Bearer ${token}` } })).status
  const token = await at('c1', 'user', 'ann')
  for (const name of ['c1', 'c2']) await until(async () => (await opens(name, token)) === 200, `${name} knows it`)
  assert.match(await at('c2', 'list'), /ann/)
  await at('c2', 'revoke', idOf(token))
  for (const name of ['c1', 'c2']) await until(async () => (await opens(name, token)) === 401, `${name} refuses it`)
  const first = await cluster.leader()
  await cluster.kill(first)
  await cluster.start(first)
  await cluster.settled(2)
  for (const name of ['c1', 'c2']) {
    // One that is too busy to tell says so, and lets nobody in.
    await until(async () => {
      const status = await opens(name, token)
      assert.notEqual(status, 200)
      return status === 401
    }, `${name} refuses it after the change of leader`)
  }
})

test('muster token says what is wrong', async () => {
  for (const [args, words] of [
    [['user'], /missing required argument 'name'/],
    [['user', 'client'], /other than 'client'/],
    [['user', 'ann', '--days', '0'], /--days: expected a number above 0, up to 36500, received '0'/],
    [['client', 'ann'], /too many arguments/],
    [['nobody'], /unknown command 'nobody'/],
    [['revoke'], /missing required argument 'tokens'/],
    [['revoke', 'mu_0123456789_secret'], /no token mu_0123456789\n/],
    [['revoke', '"mu_0123456789_secret",'], /is called like what begins with mu_;/],
    [['revoke', fleet.tokens.client], /is called like what begins with mc_;/],
  ] as const) {
    const { code, stderr } = await stage.muster(['token', ...args, '--data', stage.path('coordinator')])
    assert.notEqual(code, 0)
    assert.match(stderr, words)
    assert.ok(!stderr.includes('secret') && !stderr.includes(fleet.tokens.client))
  }
  const { code, stderr } = await stage.muster(['token', 'list', '--data', stage.path('nowhere')])
  assert.equal(code, 3)
  assert.match(stderr, /No coordinator with its data in .*nowhere runs here/)
})

test('a token ends at a moment that has a date', async () => {
  const transport = new NodeTransport(`unix:${stage.path('coordinator', 'muster.sock')}`)
  const client = new Client(transport, 'owner')
  const body = (untilMs: number) => ({ user: 'iris', untilMs })
  await assert.rejects(client.post('/tokens', body(Number.MAX_SAFE_INTEGER)), /untilMs/)
  await client.post('/tokens', body(8.64e15))
  assert.match(await tokens('list'), /iris .*\+275760-09/)
  transport.close()
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
