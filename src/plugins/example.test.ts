/** The worked example, as somebody who copied it would use it: its own tests, and a coordinator's way of loading it. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { loadPlugins } from './load.ts'

const example = path.join(import.meta.dirname, '..', '..', 'examples', 'scheduler-plugin')

test('examples/scheduler-plugin: its tests pass where muster is installed', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'muster-example-'))
  try {
    await cp(example, directory, { recursive: true })
    const installed = path.join(directory, 'node_modules', 'muster')
    await mkdir(installed, { recursive: true })
    const entry = pathToFileURL(path.join(import.meta.dirname, 'plugin.ts')).href
    const exports = { './plugin': './plugin.js' }
    await writeFile(path.join(installed, 'package.json'), JSON.stringify({ name: 'muster', type: 'module', exports }))
    await writeFile(path.join(installed, 'plugin.js'), `export * from '${entry}'\n`)
    // Not one test of this run, but a run of its own.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    const args = ['--test', '--test-reporter=tap']
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: directory, env, timeout: 60_000 })
    assert.match(stdout, /^# pass 4\n# fail 0$/m)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

test('examples/scheduler-plugin: a coordinator loads it as its coordinator.json says', async () => {
  const registry = await loadPlugins([{ plugin: './shortest-first.ts', from: path.join(example, 'coordinator.json') }])
  const known = registry.get('shortest-first')
  assert.equal(known?.source?.plugin, 'shortest-first')
  assert.deepEqual(known?.check(undefined), { config: { minutesForgiven: 1, first: [] } })
})
