/** A run whose coordinator isn't there, or doesn't stay: what `--fallback local` makes of it, and what it says. */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import type { JsonReport } from '../../reports/json.ts'
import { Fleet } from './fixtures/fleet.ts'
import { gate, marked, marks, shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

/** Addresses of this host where nobody listens: ports that are given to nobody who asks for any. */
const nobody = ['http://127.0.0.1:1', 'http://127.0.0.1:2'] as const

test('without a coordinator the run is made here when that was asked for, and says so everywhere', async () => {
  await using stage = await Stage.open()
  await stage.write(shellSuite({ 'a.sh': 'exit 0\n', 'b.sh': 'exit 1\n' }))
  const addresses = nobody.join()
  const server = ['--server', addresses, '--token', 'none']

  const refused = await stage.muster(['run', ...server])
  assert.equal(refused.code, 3)
  assert.match(
    refused.stderr,
    /^muster: Cannot reach any of 2 coordinators: http\S+ \(.*ECONNREFUSED.*\), http\S+ \(.*ECONNREFUSED/m,
  )

  const ended = await stage.muster(['run', ...server, '--fallback', 'local', '--json', '--junit', 'out.xml'])
  assert.equal(ended.code, 1, ended.stderr)
  assert.match(ended.stderr, /^muster: running on this host instead/m)
  const cpus = availableParallelism()
  const host = `this host (${cpus} ${cpus === 1 ? 'CPU' : 'CPUs'})`
  assert.ok(ended.stderr.includes(`${host}, local fallback: Cannot reach any of 2 coordinators`), ended.stderr)
  const report = JSON.parse(ended.stdout) as JsonReport
  assert.match(report.place!, /^local fallback: Cannot reach any of 2 coordinators/)
  assert.deepEqual([report.verdict, report.planned, report.accounted], ['failed', 2, 2])
  assert.match(readFileSync(`${stage.project}/out.xml`, 'utf8'), /<property name="place" value="local fallback: /)

  // The environment says it too, and the configuration, and a flag has the last word.
  assert.equal((await stage.muster(['run', ...server], { env: { MUSTER_FALLBACK: 'local' } })).code, 1)
  const config = JSON.parse(readFileSync(`${stage.project}/muster.config.json`, 'utf8')) as object
  await stage.write({ 'muster.config.json': JSON.stringify({ ...config, fallback: 'local' }) })
  assert.equal((await stage.muster(['run', ...server])).code, 1)
  assert.equal((await stage.muster(['run', ...server, '--fallback', 'none'])).code, 3)
  assert.equal((await stage.muster(['run', ...server, '--fallback', 'maybe'])).code, 2)
})

test('with several addresses, a network that fails for a moment before the run begins is waited for', async () => {
  await using stage = await Stage.open(shellSuite({ 'a.sh': 'exit 0\n' }))
  const fleet = await Fleet.open(stage, ['one'])
  const { hostname, port } = new URL(fleet.url)
  // An address of this host that nobody else uses: its port is free.
  const late = { hostname: `127.${1 + randomInt(250)}.${randomInt(250)}.${1 + randomInt(250)}`, port: 7357 }
  const proxy = createServer((socket) => {
    const behind = connect(Number(port), hostname)
    socket.pipe(behind).pipe(socket)
    for (const [one, other] of [
      [socket, behind],
      [behind, socket],
    ] as const) {
      one.on('error', () => other.destroy()).on('close', () => other.destroy())
    }
  })
  // Whoever asks here is sent away, and only then does the other one begin to listen.
  const closing = createServer((socket) => {
    socket.destroy()
    if (!proxy.listening) proxy.listen(late.port, late.hostname)
  })
  await new Promise<void>((resolve) => closing.listen(0, '127.0.0.1', resolve))
  try {
    const addresses = `http://${late.hostname}:${late.port},http://127.0.0.1:${(closing.address() as AddressInfo).port}`
    const ended = await stage.muster(['run', '--server', addresses, '--token', fleet.tokens.client])
    assert.equal(ended.code, 0, ended.stderr)
  } finally {
    closing.close()
    proxy.close()
  }
})

test('a coordinator that does not come back: what has no result runs here, and the verdict is that of both parts', async () => {
  await using stage = await Stage.open()
  const fleet = await Fleet.open(stage, ['one'])
  const here = stage.path()
  // The first run elsewhere; the others wait behind a gate that is opened once the coordinator is away.
  await stage.write(
    shellSuite({
      'a.sh': marked('a', here),
      'b.sh': `${marked('b', here)}exit 1\n`,
      'c.sh': `${marked('c', here, gate(here))}`,
      'd.sh': marked('d', here, gate(here)),
    }),
  )
  const patience = ['--fallback', 'local', '--wait-for-coordinator', '1s']
  const run = stage.start([
    'run',
    ...fleet.flags,
    ...patience,
    '--cpus',
    '1',
    '--json',
    '--junit',
    'out.xml',
    '--reporter',
    'plain',
  ])
  // The results of the files, not only of the tests in them.
  await run.says(/✓ t\/a\.sh \(/)
  await run.says(/✗ t\/b\.sh \(/)
  await until(() => marks(here, 'begun')['c'] === 1 || marks(here, 'begun')['d'] === 1, 'the third file')
  stage.kill(fleet.server.pid)
  await run.says(/the coordinator is away/)
  await run.says(/files have a result; running the other/)
  await stage.write({ gate: '' }, here)
  const ended = await run.ended
  assert.equal(ended.code, 1, ended.stderr)
  const report = JSON.parse(ended.stdout) as JsonReport
  assert.deepEqual([report.verdict, report.planned, report.accounted], ['failed', 4, 4], ended.stderr)
  assert.deepEqual([report.tasks.passed, report.tasks.failed, report.tasks.lost], [3, 1, 0])
  assert.match(report.place!, /^local fallback: 2 of 4 files, because /)
  assert.match(report.reason!, /^2 of 4 files ended before the coordinator was away/)
  assert.deepEqual(
    report.failures.map((one) => one.file),
    ['t/b.sh'],
  )
  const junit = readFileSync(`${stage.project}/out.xml`, 'utf8')
  assert.equal(junit.match(/<property name="place" value="local fallback: /g)?.length, 2)
  assert.equal(junit.match(/<property name="place" value="http:/g)?.length, 2)

  // What the worker held is not lost either: it was only not waited for.
  await fleet.serveAgain()
  // Over, so that the worker holds nothing for which it would wait to be acknowledged.
  await until(async () => {
    const { accounted, state } = await fleet.client.run(report.run)
    return accounted === 4 && state === 'finished'
  }, 'the results that the worker kept')
})
