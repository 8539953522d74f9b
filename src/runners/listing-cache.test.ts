import assert from 'node:assert/strict'
import { mkdir, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { inlineProject } from './conformance/inline-project.ts'
import { cachedList, fingerprintNames } from './listing-cache.ts'
import type { Listing, ListRequest, Runner } from './runner.ts'

/** A runner that counts how often it was really asked. */
function countingRunner(answer: () => Listing): Runner & { asked: number } {
  return {
    framework: 'command',
    asked: 0,
    detect: async () => undefined,
    list: async function (this: { asked: number }) {
      this.asked += 1
      return answer()
    },
    command: async () => ({ argv: [] }),
  }
}

async function setUp(files: Readonly<Record<string, string>>) {
  const project = await inlineProject(files)
  const cache = await inlineProject({})
  const old = new Date(Date.now() - 60_000)
  for (const name of Object.keys(files)) await utimes(path.join(project.cwd, name), old, old)
  const request: ListRequest = {
    project: { cwd: project.cwd, packageJson: undefined, entries: new Set(), env: { A: 'b' } },
    detection: { framework: 'command', version: '1', reason: '', strength: 'config' },
    paths: [],
    args: [],
    signal: AbortSignal.timeout(60_000),
  }
  return {
    cwd: project.cwd,
    cacheDir: path.join(cache.cwd, 'listings'),
    request,
    [Symbol.asyncDispose]: async () => {
      await project[Symbol.asyncDispose]()
      await cache[Symbol.asyncDispose]()
    },
  }
}

test('cachedList: asks once while nothing changes, again after each kind of change', async () => {
  await using here = await setUp({ 'a.test': '', 'config.js': 'one', 'sub/b.test': '' })
  const config = path.join(here.cwd, 'config.js')
  const runner = countingRunner(() => ({ files: ['a.test'], dependsOn: [config, path.join(here.cwd, 'absent.js')] }))
  const ask = (change: Partial<ListRequest> = {}) => cachedList(runner, { ...here.request, ...change }, here.cacheDir)
  const expectAsked = async (times: number, change: Partial<ListRequest> = {}) => {
    const before = runner.asked
    await ask(change)
    assert.equal(runner.asked - before, times)
  }
  await expectAsked(1)
  await expectAsked(0)
  assert.deepEqual((await ask()).files, ['a.test'])

  const { project, detection } = here.request
  for (const change of [
    { paths: ['a.test'] },
    { args: ['--x'] },
    { detection: { ...detection, version: '2' } },
    { project: { ...project, env: { A: 'c' } } },
  ]) {
    await expectAsked(1, change)
    await expectAsked(0, change)
  }
  await expectAsked(0, { project: { ...project, env: { A: 'b', SHLVL: '3', PWD: '/x' } } })

  await writeFile(path.join(here.cwd, 'sub', 'new.test'), '')
  await expectAsked(1)
  await expectAsked(0)
  await mkdir(path.join(here.cwd, 'node_modules'))
  await writeFile(path.join(here.cwd, 'node_modules', 'new.js'), '')
  await expectAsked(0)
  await rm(path.join(here.cwd, 'sub', 'b.test'))
  await expectAsked(1)

  const earlier = new Date(Date.now() - 30_000)
  await writeFile(config, 'two')
  await utimes(config, earlier, earlier)
  await expectAsked(1)
  await expectAsked(0)
})

test('cachedList: never keeps what it can not vouch for', async () => {
  await using here = await setUp({ 'a.test': '' })
  const config = path.join(here.cwd, 'config.js')
  for (const [why, listing, change] of [
    ['unknown dependencies', { files: ['a.test'] }, {}],
    ['files outside', { files: ['../a.test'], dependsOn: [] }, {}],
    ['paths outside', { files: [], dependsOn: [] }, { paths: ['../other'] }],
  ] as const) {
    const runner = countingRunner(() => listing)
    await cachedList(runner, { ...here.request, ...change }, here.cacheDir)
    await cachedList(runner, { ...here.request, ...change }, here.cacheDir)
    assert.equal(runner.asked, 2, why)
  }
  // A configuration that is changed while the framework reads it.
  await writeFile(config, '')
  const soon = new Date(Date.now() + 60_000)
  await utimes(config, soon, soon)
  const runner = countingRunner(() => ({ files: [], dependsOn: [config] }))
  await cachedList(runner, here.request, here.cacheDir)
  await cachedList(runner, here.request, here.cacheDir)
  assert.equal(runner.asked, 2)
})

test('cachedList: a damaged or unwritable cache is a miss', async () => {
  await using here = await setUp({ 'a.test': '' })
  const runner = countingRunner(() => ({ files: ['a.test'], dependsOn: [] }))
  await cachedList(runner, here.request, here.cacheDir)
  const [name] = await readdir(here.cacheDir)
  for (const content of ['', '{', '[]', '{"names":1}', 'null']) {
    await writeFile(path.join(here.cacheDir, name!), content)
    const before = runner.asked
    assert.deepEqual((await cachedList(runner, here.request, here.cacheDir)).files, ['a.test'])
    assert.equal(runner.asked, before + 1, content)
  }
  const file = path.join(here.cwd, 'a.test')
  assert.deepEqual((await cachedList(runner, here.request, path.join(file, 'under-a-file'))).files, ['a.test'])
})

test('fingerprintNames: follows links once, leaves out environments, takes under 30 ms for 2,000 files', async () => {
  await using project = await inlineProject({ 'a/x.py': '', 'venv/pyvenv.cfg': '', 'venv/lib/y.py': '' })
  await symlink('..', path.join(project.cwd, 'a', 'circle'))
  await symlink('nowhere', path.join(project.cwd, 'dangling'))
  const before = fingerprintNames(project.cwd)
  await writeFile(path.join(project.cwd, 'venv', 'lib', 'z.py'), '')
  assert.equal(fingerprintNames(project.cwd), before)
  for (let folder = 0; folder < 100; folder += 1) {
    await mkdir(path.join(project.cwd, `d${folder}`))
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => writeFile(path.join(project.cwd, `d${folder}`, `f${index}`), '')),
    )
  }
  // What it takes of a processor, however busy the machine is: it waits for nothing but the disk's cache.
  const times = Array.from({ length: 7 }, () => {
    const start = process.threadCpuUsage()
    assert.notEqual(fingerprintNames(project.cwd), before)
    const { user, system } = process.threadCpuUsage(start)
    return (user + system) / 1000
  })
  assert.ok(Math.min(...times) < 30, `took ${times.map((ms) => ms.toFixed(1)).join(', ')} ms`)
})
