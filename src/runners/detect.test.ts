import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MusterError } from '../protocol/errors.ts'
import { inlineProject } from './conformance/inline-project.ts'
import { detectSuites, readProject, runnersByName } from './detect.ts'
import type { DetectRequest } from './detect.ts'

const installed = (name: string, version: string) => ({
  [`node_modules/${name}/package.json`]: JSON.stringify({
    name,
    version,
    bin: { [name]: 'cli.mjs' },
    exports: { './package.json': './package.json', '.': './cli.mjs', './*': './*' },
  }),
  [`node_modules/${name}/cli.mjs`]: '',
  [`node_modules/${name}/${name}.mjs`]: '',
  [`node_modules/${name}/bin/${name}.js`]: '',
  [`node_modules/${name}/bin/mocha.js`]: '',
})

async function detect(files: Readonly<Record<string, string>>, request: Partial<DetectRequest> = {}) {
  await using project = await inlineProject(files)
  const found = await detectSuites({ cwd: project.cwd, env: process.env, ...request })
  return found
}

const refused = (code: string, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MusterError, String(error))
  assert.equal(error.code, code)
  assert.match(error.message, text)
  return true
}

const both = {
  'vitest.config.ts': '',
  'playwright.config.ts': '',
  'package.json': '{}',
  ...installed('vitest', '3.2.1'),
  ...installed('@playwright/test', '1.55.0'),
}
const scripts = (of: Readonly<Record<string, string>>) => ({ 'package.json': JSON.stringify({ scripts: of }) })

test('detectSuites: the only framework is chosen, with its sign', async () => {
  const { chosen, detections, notices } = await detect({ 'pytest.ini': '' })
  assert.deepEqual(
    [chosen.name, chosen.detection.reason, chosen.detection.strength],
    ['pytest', 'pytest.ini', 'config'],
  )
  assert.deepEqual([detections.length, notices], [1, []])
})

test('detectSuites: what npm test starts wins, directly or through other scripts; the rest is mentioned', async () => {
  const ways: readonly Readonly<Record<string, string>>[] = [
    { test: 'vitest run' },
    { test: 'npm run lint && npm run unit', unit: 'vitest run', lint: 'eslint .', 'test:e2e': 'playwright test' },
  ]
  for (const script of ways) {
    const { chosen, notices } = await detect({ ...both, ...scripts(script) })
    assert.equal(chosen.name, 'vitest')
    assert.match(notices.join('\n'), /^also here: playwright 1\.55\.0, .*; run it with --framework playwright$/)
  }
  const asked = await detect({ ...both, ...scripts({ test: 'vitest run' }) }, { framework: 'playwright' })
  assert.equal(asked.chosen.name, 'playwright')
})

test('detectSuites: several that are equal are an error that names each with its flag', async () => {
  const expected =
    /2 test frameworks were found in .*:\n  --framework vitest  \(vitest 3\.2\.1, .*\)\n  --framework playwright  \(playwright 1\.55\.0, /
  await assert.rejects(detect(both), refused('framework_ambiguous', expected))
  await assert.rejects(
    detect({ ...both, ...scripts({ test: 'vitest run && playwright test' }) }),
    refused('framework_ambiguous', expected),
  )
})

test('detectSuites: nothing found, an unknown name, a directory that is not there, a missing tool', async () => {
  await assert.rejects(
    detect({ 'readme.md': '' }),
    refused('framework_not_found', /looked for vitest \(.*pytest \(pytest\.ini.*go test \(go\.mod\)/),
  )
  await assert.rejects(
    detect({ 'readme.md': '' }, { framework: 'go' }),
    refused('framework_not_found', /^No sign of go was found/),
  )
  await assert.rejects(detect({}, { framework: 'karma' }), refused('usage', /'karma': expected one of vitest, /))
  await assert.rejects(detect({}, { cwd: '/no/such/folder' }), refused('workspace_invalid', /ENOENT/))
  await assert.rejects(
    detect({ 'package.json': '{ broken' }),
    refused('workspace_invalid', /package\.json: expected JSON/),
  )
  const old = {
    'pytest.ini': '',
    '.venv/pyvenv.cfg': '',
    '.venv/bin/python': '',
    '.venv/lib/python3.8/site-packages/pytest-6.0.dist-info/x': '',
  }
  await assert.rejects(detect(old), refused('tool_missing', /Cannot run pytest in .*: pytest 6\.0 .* too old/))
})

const config = (suites: readonly object[]) => ({ 'muster.config.json': JSON.stringify({ suites, env: ['CI'] }) })

test('detectSuites: a suite of the configuration brings its settings', async () => {
  const unit = {
    name: 'unit',
    framework: 'pytest',
    cwd: 'backend',
    paths: ['a'],
    args: ['-q'],
    env: { MODE: 'x' },
    labels: { os: 'linux' },
    retries: 2,
    timeout: '90s',
    setup: 'make',
  }
  const files = { ...config([unit]), 'backend/pytest.ini': '', 'vitest.config.ts': '' }
  const { chosen, config: loaded } = await detect(files)
  const { name, paths, args, labels, retries, timeoutMs, setup, project, detection } = chosen
  assert.deepEqual(
    { name, paths, args, labels, retries, timeoutMs, setup, framework: detection.framework, mode: project.env['MODE'] },
    {
      name: 'unit',
      paths: ['a'],
      args: ['-q'],
      labels: { os: 'linux' },
      retries: 2,
      timeoutMs: 90_000,
      setup: 'make',
      framework: 'pytest',
      mode: 'x',
    },
  )
  assert.match(project.cwd, /backend$/)
  assert.deepEqual(loaded?.env, ['CI'])
})

test('detectSuites: several suites need a name; a command suite needs nothing detected', async () => {
  const checks = { name: 'checks', discover: ['*.sh'], run: ['sh', '{files}'], results: 'exit-code' }
  const files = { ...config([checks, { name: 'api', framework: 'pytest' }]), 'pytest.ini': '' }
  await assert.rejects(
    detect(files),
    refused('framework_ambiguous', /has 2 suites that fit:\n  --suite checks\n  --suite api  \(pytest\)/),
  )
  await assert.rejects(detect(files, { suite: 'web' }), refused('usage', /'web': there are checks, api/))
  const { chosen } = await detect(files, { suite: 'checks' })
  assert.deepEqual([chosen.runner.framework, chosen.command], ['command', checks])
  assert.equal((await detect(files, { framework: 'pytest' })).chosen.name, 'api')
  await assert.rejects(
    detect({ 'pytest.ini': '' }, { framework: 'command' }),
    refused('framework_not_found', /no suite of a muster\.config/),
  )
})

test('runnersByName: each name leads to the runner of that framework', async () => {
  for (const [name, load] of Object.entries(runnersByName)) assert.equal((await load()).framework, name)
  assert.deepEqual((await readProject('/', { A: 'b', C: undefined })).env, { A: 'b' })
})
