import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { isMusterError } from '../protocol/errors.ts'
import { startTestWorker, temporaryFolder } from './test-worker.ts'
import { TestCoordinator } from './test-coordinator.ts'

describe('a batch', () => {
  it('reports each file with its tests and ends as completed', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const files = ['pass', 'plain', 'skip', 'fail', 'load-error']
    const { batch, token } = coordinator.assign(files, { tasks: [7, 8, 9, 10, 11] })
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'completed')
    assert.equal(ended.token, token)
    assert.deepEqual(ended.errors, [])
    assert.ok(ended.startupMs! > 0 && ended.wallMs >= ended.startupMs!)
    assert.deepEqual(Object.fromEntries(coordinator.outcomes(batch)), {
      7: 'passed',
      8: 'passed',
      9: 'skipped',
      10: 'failed',
      11: 'failed',
    })
    assert.deepEqual(
      coordinator.of('started', batch).flatMap((one) => one.tasks),
      [7, 8, 9, 10, 11],
    )
    const results = coordinator.of('reported', batch).flatMap((one) => one.results)
    const failed = results.find((one) => one.task === 10)!.result
    assert.ok(failed.tests[0]!.errors![0]!.stack!.length < 17_000)
    assert.ok(failed.tests[0]!.output!.length < 66_000)
    assert.ok(coordinator.of('live', batch).some((live) => live.tests.some((test) => test.status === 'failed')))
    const sequence = coordinator.received.flatMap((one) => ('seq' in one ? [one.seq] : []))
    assert.deepEqual(
      sequence,
      sequence.map((_, index) => index + 1),
    )
  })

  it('runs in the place and with the environment of the caller, without secrets, with a temporary directory of its own', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using worker = await startTestWorker(coordinator)
    using folder = temporaryFolder()
    const report = path.join(folder.path, 'env.json')
    const env = { CALLERS: 'yes', MUSTER_TOKEN: 'secret', TMPDIR: folder.path }
    const { batch, run } = coordinator.assign([`env:${report}`], { cwd: folder.path, env })
    assert.equal((await coordinator.ended(batch)).reason, 'completed')
    const seen = JSON.parse(readFileSync(report, 'utf8')) as { env: Record<string, string>; cwd: string }
    assert.equal(seen.cwd, folder.path)
    assert.equal(seen.env['CALLERS'], 'yes')
    assert.equal(seen.env['PWD'], folder.path)
    assert.equal(seen.env['MUSTER_TOKEN'], undefined)
    assert.equal(seen.env['MUSTER_RUN'], run)
    assert.equal(seen.env['MUSTER_BATCH'], batch)
    assert.equal(seen.env['MUSTER_WORKER'], worker.id)
    assert.notEqual(seen.env['TMPDIR'], folder.path)
    assert.equal(seen.env['HOME'], undefined)
    assert.ok(!existsSync(seen.env['TMPDIR']!))
  })

  it('fetches the context of a run once', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    for (let count = 0; count < 3; count += 1)
      await coordinator.ended(coordinator.assign(['plain'], { run: 'same' }).batch)
    assert.equal(coordinator.contextRequests, 1)
  })

  it('of a run that was created without a context fails to start, and says what is missing', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const { batch, run } = coordinator.assign(['plain'])
    coordinator.contexts.delete(run)
    const { reason, message } = await coordinator.ended(batch)
    assert.equal(reason, 'failed-to-start')
    assert.match(message!, /^Run r\d+ was created without 'context', so no worker can start it: expected 'env' /)
    assert.doesNotMatch(message!, /[{}]|HTTP/)
  })

  it('that dies is crashed: complete files keep their results, the begun one is interrupted', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const { batch } = coordinator.assign(['pass', 'crash', 'plain'])
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'crashed')
    assert.equal(ended.signal, 'SIGKILL')
    assert.deepEqual(ended.interrupted, [1])
    assert.match(ended.message!, /SIGKILL[^]*about to crash/)
    assert.deepEqual(Object.fromEntries(coordinator.outcomes(batch)), { 0: 'passed' })
  })

  it('that leaves a file incomplete is crashed although it exits with 0', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const { batch } = coordinator.assign(['pass', 'exit:0', 'plain'])
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'crashed')
    assert.equal(ended.exitCode, 0)
    assert.deepEqual(ended.interrupted, [1])
    assert.deepEqual(Object.fromEntries(coordinator.outcomes(batch)), { 0: 'passed' })
  })

  it('that fails although every test passed says so; one with an error of its own keeps to that', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const silent = await coordinator.ended(coordinator.assign(['pass'], { args: ['--exit-1'] }).batch)
    assert.equal(silent.reason, 'completed')
    assert.deepEqual(
      silent.errors.map((error) => error.message),
      ['fake exited with code 1 although every test passed'],
    )
    const loud = await coordinator.ended(coordinator.assign(['global-error'], { args: ['--exit-1'] }).batch)
    assert.deepEqual(
      loud.errors.map((error) => error.message),
      ['unhandled rejection'],
    )
    const failed = await coordinator.ended(coordinator.assign(['fail'], { args: ['--exit-1'] }).batch)
    assert.deepEqual(failed.errors, [])
  })

  it('that cannot be started says why', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const ends = await Promise.all(
      [
        coordinator.assign(['pass'], { args: ['--throw'] }),
        coordinator.assign(['pass'], { args: ['--missing'] }),
        coordinator.assign(['pass'], { cwd: '/nowhere' }),
        coordinator.assign(['pass'], { framework: 'unheard-of' }),
      ].map(({ batch }) => coordinator.ended(batch)),
    )
    assert.deepEqual(
      ends.map((end) => end.reason),
      Array.from({ length: 4 }, () => 'failed-to-start'),
    )
    assert.match(ends[0]!.message!, /the runner has no idea/)
    assert.match(ends[1]!.message!, /no-such-framework.*ENOENT/)
    assert.match(ends[2]!.message!, /\/nowhere does not exist/)
    assert.match(ends[3]!.message!, /no runner for 'unheard-of': it knows fake/)
  })

  it('caps what is kept of the output, and says how much is missing', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const bytes = 12_000_000
    const { batch } = coordinator.assign(['print:the beginning', `flood:${bytes}`, 'print:the end'])
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'completed')
    assert.match(ended.output!, /^the beginning\n/)
    assert.match(ended.output!, /the end\n$/)
    assert.ok(!ended.output!.includes('\ufffd'))
    const leftOut = Number(/… (\d+) bytes of output left out …/.exec(ended.output!)![1])
    const kept = Buffer.byteLength(ended.output!) - Buffer.byteLength(`\n… ${leftOut} bytes of output left out …\n`)
    assert.ok(kept <= 4 * 1024 * 1024)
    const sent =
      Buffer.byteLength('the beginning\nthe end\n') + (bytes / 100_000) * Buffer.byteLength(`${'x'.repeat(99_998)}é`)
    assert.equal(kept + leftOut, sent)
  })

  it('has real pipes for its output', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const ended = await coordinator.ended(coordinator.assign(['device']).batch)
    assert.equal(ended.reason, 'completed')
    assert.match(ended.output!, /through the device/)
  })

  it('ignores what is not its own and says so', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const ended = await coordinator.ended(coordinator.assign(['foreign', 'garbage']).batch)
    assert.equal(ended.reason, 'completed')
    assert.match(ended.output!, /'not-in-this-batch', which is not part of this batch: ignored/)
    assert.match(ended.output!, /not an event: this is not JSON/)
  })

  it('is read through the reader of its runner', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const { batch } = coordinator.assign(['a', 'b'], { args: ['--reader'] })
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'completed')
    assert.equal(ended.output, 'reader saw exit code 0\n')
    assert.equal(coordinator.outcomes(batch).size, 2)
  })

  it('of the framework none passes at once, in order and in the short form', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const count = 20_000
    const files = Array.from({ length: count }, (_, index) => `t${index}`)
    const { batch } = coordinator.assign(files, { framework: 'none' })
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'completed')
    assert.equal(coordinator.outcomes(batch).size, count)
  })
})

describe('time limits', () => {
  it('end a file that runs too long, and only that is timed out', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    // Until the first file begins there is time for all of them: a busy machine may need it to start the framework.
    const files = ['pass', 'hang', ...Array.from({ length: 10 }, (_, at) => `plain:${at}`)]
    const { batch } = coordinator.assign(files, { taskTimeoutMs: 1500 })
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'timed-out')
    assert.deepEqual(ended.timedOut, [1])
    assert.deepEqual(ended.interrupted, [1])
    assert.deepEqual(Object.fromEntries(coordinator.outcomes(batch)), { 0: 'passed' })
  })

  it('end a framework that never begins a file', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const { batch } = coordinator.assign(['a', 'b', 'c'], { args: ['--quiet'], taskTimeoutMs: 200, cpus: 2 })
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'timed-out')
    assert.deepEqual(ended.timedOut, [0, 1, 2])
    assert.ok(ended.wallMs >= 400, `${ended.wallMs} ms: two rounds of 200 ms were due`)
  })

  it('kill a framework that ignores SIGTERM', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const files = ['hang', ...Array.from({ length: 10 }, (_, at) => `plain:${at}`)]
    const { batch } = coordinator.assign(files, { args: ['--ignore-sigterm'], taskTimeoutMs: 2000 })
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'timed-out')
    assert.equal(ended.signal, 'SIGKILL')
  })
})

describe('joining', () => {
  it('names a wrong token and where to get one, without trying again', async () => {
    await using coordinator = await new TestCoordinator('right').start()
    await assert.rejects(startTestWorker(coordinator, { token: 'wrong' }), (error) => {
      assert.ok(isMusterError(error) && error.code === 'unauthorized')
      assert.match(error.message, /token/)
      assert.match(error.hint!, /muster token worker/)
      return true
    })
    await using _worker = await startTestWorker(coordinator, { token: 'right' })
  })

  it('gives up after its time and says what to check', async () => {
    const url = 'unix:/nowhere/muster.sock'
    await assert.rejects(startTestWorker({ url }, { joinTimeoutMs: 200 }), (error) => {
      assert.ok(isMusterError(error) && error.code === 'coordinator_unreachable')
      assert.match(error.message, /\/nowhere\/muster\.sock.*ENOENT/)
      return true
    })
  })

  it('refuses an address that is none', async () => {
    await assert.rejects(startTestWorker({ url: 'localhost:7357' }), /expected http:/)
  })

  it('says what the host offers', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using worker = await startTestWorker(coordinator, {
      labels: { gpu: 'no' },
      cpus: 3,
      resources: { licences: 2 },
      name: 'tester',
      detect: 'quick',
      detectStartMs: 60_000,
    })
    const [hello] = coordinator.of('hello')
    assert.equal(hello!.worker, worker.id)
    assert.equal(hello!.name, 'tester')
    assert.equal(hello!.capabilities.cpus, 3)
    assert.deepEqual(hello!.capabilities.labels, { gpu: 'no' })
    assert.ok(hello!.capabilities.memoryBytes > 0)
    assert.ok('node' in hello!.capabilities.tools)
    assert.deepEqual(hello!.capabilities.resources, { licences: 2 })
    assert.equal(typeof hello!.capabilities.attributes?.['cpu.model'], 'string')
    assert.match(hello!.capabilities.fingerprint ?? '', /^[0-9a-f]{32}$/)
    assert.match(hello!.capabilities.host, /^[0-9a-f]{20}$/)
  })
})
