/** A worker with a real framework: node:test, which needs nothing installed. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { it } from 'node:test'
import { runnersByName } from '../runners/detect.ts'
import type { Project } from '../runners/runner.ts'
import { TestCoordinator } from './test-coordinator.ts'
import { startTestWorker, temporaryFolder } from './test-worker.ts'

it('runs node:test with its runner and reports every test', async () => {
  using folder = temporaryFolder()
  const write = (name: string, text: string): void => writeFileSync(path.join(folder.path, name), text)
  const packageJson = { name: 'x', type: 'module', scripts: { test: 'node --test' } }
  write('package.json', JSON.stringify(packageJson))
  write(
    'one.test.js',
    "import { it } from 'node:test'\nit('adds', () => {})\nit('fails', () => { throw new Error('broken') })\n",
  )
  write(
    'two.test.js',
    "import { describe, it } from 'node:test'\ndescribe('outer', () => { it('inner', () => {}); it.skip('later') })\n",
  )
  const env = { PATH: `${path.dirname(process.execPath)}:${process.env['PATH']}` }
  const project: Project = {
    cwd: folder.path,
    packageJson,
    entries: new Set(['package.json', 'one.test.js', 'two.test.js']),
    env,
  }
  const detection = await (await runnersByName.node()).detect(project)
  assert.ok(detection)

  await using coordinator = await new TestCoordinator().start()
  await using _worker = await startTestWorker(coordinator, {
    runnersModule: new URL('../runners/detect.ts', import.meta.url).href,
  })
  coordinator.contexts.set('real', { env, detection })
  const { batch } = coordinator.assign(['one.test.js', 'two.test.js'], {
    framework: 'node',
    run: 'real',
    cwd: folder.path,
    cpus: 2,
  })
  const ended = await coordinator.ended(batch)
  assert.equal(ended.reason, 'completed', `${ended.message}\n${ended.output}`)
  assert.deepEqual(ended.errors, [])
  const results = coordinator.of('reported', batch).flatMap((one) => one.results.map(({ result }) => result))
  const tests = results.flatMap((result) =>
    result.tests.map((test) => `${test.file} ${test.name.join(' › ')} ${test.status}`),
  )
  assert.deepEqual(tests.sort(), [
    'one.test.js adds passed',
    'one.test.js fails failed',
    'two.test.js outer › inner passed',
    'two.test.js outer › later skipped',
  ])
})
