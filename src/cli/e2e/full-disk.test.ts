/**
 * A coordinator that can't write: it says so, loses nothing that it has acknowledged, and goes on by itself when it
 * can again. A limit on the size of files (RLIMIT_FSIZE) stands for the full disk where there are no rights
 * to mount a small one: its writes fail in the same place.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, openSync, rmSync, writeSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import type { Problem } from '../../protocol/api.ts'
import type { RunView } from '../../protocol/run-view.ts'
import type { JsonReport } from '../../reports/json.ts'
import { Fleet } from './fixtures/fleet.ts'
import { gate, marked, marks, shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

/** Submits runs of 500 files, and remembers those that were acknowledged. */
class Submitter {
  readonly #fleet: Fleet
  readonly acknowledged: string[] = []
  readonly refusals: Problem[] = []

  constructor(fleet: Fleet) {
    this.#fleet = fleet
  }

  async submit(): Promise<boolean> {
    const prefix = randomBytes(64).toString('hex')
    const names = Array.from({ length: 500 }, (_, at) => `${prefix}/${randomBytes(32).toString('hex')}-${at}.test`)
    const answer = await this.#fleet.post('/runs', { framework: 'command', files: names })
    if (answer.status === 201) this.acknowledged.push(((await answer.json()) as RunView).run)
    else {
      assert.ok(Number(answer.headers.get('retry-after')) >= 1)
      this.refusals.push((await answer.json()) as Problem)
    }
    return answer.status === 201
  }

  async allThere(): Promise<void> {
    const kept = new Map((await this.#fleet.client.runs()).map((run) => [run.run, run.planned]))
    for (const run of this.acknowledged) assert.equal(kept.get(run), 500, run)
  }
}

const degraded = (fleet: Fleet, pattern: RegExp) =>
  until(async () => (await fleet.client.health()).problems.some((one) => pattern.test(one)), `health: ${pattern}`)
/** History has a process of its own, which tries again after a pause that grows. */
const wellAgain = (fleet: Fleet) =>
  until(async () => (await fleet.client.health()).problems.every((one) => one.startsWith('history')), 'health')

test('a full disk is said, nothing acknowledged is lost, and it goes on when there is room', async () => {
  await using stage = await Stage.open()
  const fleet = await Fleet.open(stage, [], { fileKibMax: 512 })
  const submitter = new Submitter(fleet)
  // The one that meets the limit waits; what comes after it is refused.
  let isFull = false
  const filling = (async () => {
    while (!isFull && (await submitter.submit()));
  })()
  // Awaited below; until then the failure of anything else is to be seen first.
  filling.catch(() => undefined)
  await degraded(fleet, /^log: Cannot write the log in .*: the disk is full$/)
  isFull = true
  assert.equal(await submitter.submit(), false)
  assert.equal(submitter.refusals[0]!.code, 'disk_full')
  assert.equal((await fetch(`${fleet.url}/health/ready`)).status, 503)
  assert.ok(submitter.acknowledged.length > 0)
  // What would be read may not be durable: what was kept of it is shown, or it is said, and nobody waits for ever.
  assert.ok([200, 503].includes((await fleet.request('/runs')).status))

  for (const { pid } of stage.processes())
    ofLiving(pid, () => execFileSync('prlimit', ['--pid', String(pid), '--fsize=unlimited']))
  await until(() => submitter.submit(), 'room')
  await wellAgain(fleet)
  await submitter.submit()
  await filling
  await submitter.allThere()

  fleet.server.kill('SIGKILL')
  await fleet.serveAgain()
  await submitter.allThere()
})

test('results that cannot be stored wait, and nothing is run twice', async () => {
  await using stage = await Stage.open()
  const here = stage.path()
  await stage.write(
    shellSuite({ 'a.sh': `${marked('a', here, gate(here))}echo seen`, 'b.sh': marked('b', here, gate(here)) }),
  )
  const fleet = await Fleet.open(stage, ['one'])
  const run = stage.start(['run', ...fleet.flags, '--json'])
  await until(() => marks(here, 'begun')['a'] === 1 || marks(here, 'begun')['b'] === 1, 'a file that runs')
  await rename(stage.path('coordinator', 'blobs'), stage.path('blobs-away'))
  await writeFile(stage.path('gate'), '')
  await degraded(fleet, /^results can't be stored: /)
  // New runs of normal priority wait: their results couldn't be stored either.
  const refused = await fleet.post('/runs', { framework: 'command', files: ['x'] })
  assert.equal(refused.status, 429)
  assert.match(((await refused.json()) as Problem).detail, /^results can't be stored: /)

  await rename(stage.path('blobs-away'), stage.path('coordinator', 'blobs'))
  const ended = await run.ended
  assert.equal(ended.code, 0, ended.stderr)
  const report = JSON.parse(ended.stdout) as JsonReport
  assert.deepEqual([report.planned, report.accounted, report.rerun], [2, 2, 0])
  assert.deepEqual(marks(here, 'begun'), { a: 1, b: 1 })
  await wellAgain(fleet)
})

// Only root may mount; the first test shows the same without.
if (process.getuid?.() === 0) {
  test('a small disk that runs full under a run: the run goes on when there is room', async () => {
    const stage = await Stage.open()
    const here = stage.path()
    const data = stage.path('coordinator')
    await mkdir(data)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m,mode=0700', 'tmpfs', data])
    try {
      await stage.write(shellSuite({ 'a.sh': marked('a', here, gate(here)), 'b.sh': marked('b', here, gate(here)) }))
      const fleet = await Fleet.open(stage, ['one'])
      const submitter = new Submitter(fleet)
      const run = stage.start(['run', ...fleet.flags, '--json'])
      await until(() => Object.keys(marks(here, 'begun')).length === 1, 'a file that runs')
      fill(stage.path('coordinator', 'filler'))
      let isFull = false
      const filling = (async () => {
        while (!isFull && (await submitter.submit()));
      })()
      filling.catch(() => undefined)
      await degraded(fleet, /disk/)
      isFull = true
      await writeFile(stage.path('gate'), '')
      await until(() => Object.keys(marks(here, 'done')).length === 2, 'the end of the files')
      rmSync(stage.path('coordinator', 'filler'))
      const ended = await run.ended
      assert.equal(ended.code, 0, ended.stderr)
      const report = JSON.parse(ended.stdout) as JsonReport
      assert.deepEqual([report.planned, report.accounted, report.rerun], [2, 2, 0])
      await filling
      await until(() => submitter.submit(), 'room')
      await wellAgain(fleet)
      await submitter.allThere()
      for (const { pid } of stage.processes()) ofLiving(pid, () => process.kill(pid, 'SIGTERM'))
      await fleet.server.ended
    } finally {
      execFileSync('umount', ['-l', data])
      await stage[Symbol.asyncDispose]()
    }
  })
}

/** One that has ended since it was seen is left out. */
function ofLiving(pid: number, work: () => unknown): void {
  try {
    work()
  } catch (error) {
    assert.equal(existsSync(`/proc/${pid}`), false, String(error))
  }
}

function fill(path: string): void {
  const file = openSync(path, 'w')
  const bytes = Buffer.alloc(64 * 1024)
  try {
    for (;;) writeSync(file, bytes)
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
  } finally {
    closeSync(file)
  }
}
