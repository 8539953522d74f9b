import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, it } from 'node:test'
import { isMusterError } from '../../protocol/errors.ts'
import { buildManifest, type BuiltWorkspace } from './manifest.ts'

/** A project in a temporary folder; `cache` lies beside it. */
class Project implements Disposable {
  readonly #folder = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'manifest-test-')))
  readonly root = path.join(this.#folder, 'project')
  readonly cacheDir = path.join(this.#folder, 'cache')

  constructor(files: Readonly<Record<string, string>>) {
    mkdirSync(this.root)
    for (const [name, text] of Object.entries(files)) this.write(name, text)
  }

  write(name: string, text: string): void {
    const file = path.join(this.root, name)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, text)
    // As if it had been written a while ago: only such a file's hash is remembered.
    utimesSync(file, 1_700_000_000, 1_700_000_000)
  }

  git(...args: string[]): void {
    const settings = [
      '-c',
      'user.name=t',
      '-c',
      'user.email=t@t',
      '-c',
      'protocol.file.allow=always',
      '-c',
      'init.defaultBranch=main',
    ]
    execFileSync('git', ['-C', this.root, ...settings, ...args], { stdio: 'pipe' })
  }

  build(below = '', options: { setup?: string; filesMax?: number; bytesMax?: number } = {}): Promise<BuiltWorkspace> {
    return buildManifest({ cwd: path.join(this.root, below), cacheDir: this.cacheDir, ...options })
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function names(built: BuiltWorkspace): string[] {
  return built.manifest.entries.map((entry) => entry.path)
}

describe('buildManifest', () => {
  it('takes tracked and untracked files of a repository, not ignored or deleted ones', async () => {
    using project = new Project({
      '.gitignore': 'dist\n',
      'a.js': 'a',
      'gone.js': 'x',
      'dist/out.js': 'o',
      'node_modules/x/i.js': 'n',
    })
    project.git('init')
    project.git('add', 'a.js', 'gone.js')
    rmSync(path.join(project.root, 'gone.js'))
    project.write('new file ü.js', 'b')
    const built = await project.build()
    assert.deepEqual(names(built), ['.gitignore', 'a.js', 'new file ü.js'])
    assert.equal(built.root, project.root)
    assert.equal(built.cwdInRoot, '')
    for (const entry of built.manifest.entries) {
      assert.ok(entry.type === 'file')
      assert.equal(readFileSync(built.files.get(entry.hash)!).length, entry.bytes)
    }
  })

  it('has the root of the repository for a folder below', async () => {
    using project = new Project({ 'packages/one/a.js': 'a', 'b.js': 'b' })
    project.git('init')
    const built = await project.build('packages/one')
    assert.equal(built.root, project.root)
    assert.equal(built.cwdInRoot, 'packages/one')
    assert.deepEqual(names(built), ['b.js', 'packages/one/a.js'])
  })

  it('takes a folder that its repository ignores as a workspace of its own', async () => {
    using project = new Project({ '.gitignore': 'tmp\n', 'tmp/suite/a.js': 'a', 'b.js': 'b' })
    project.git('init')
    const built = await project.build('tmp/suite')
    assert.equal(built.root, path.join(project.root, 'tmp/suite'))
    assert.deepEqual(names(built), ['a.js'])
  })

  it('includes submodules and repositories inside', async () => {
    using library = new Project({ 'lib.js': 'l' })
    library.git('init')
    library.git('add', '.')
    library.git('commit', '-m', 'x')
    using project = new Project({ 'a.js': 'a' })
    project.git('init')
    project.git('submodule', 'add', library.root, 'vendor/library')
    assert.deepEqual(names(await project.build()), ['.gitmodules', 'a.js', 'vendor/library/lib.js'])
  })

  it('walks without git, honouring nested .gitignore files', async () => {
    using project = new Project({
      '.gitignore': '*.log\n/build/\n',
      'a.js': 'a',
      'b.log': 'l',
      'build/x': 'x',
      'sub/build/kept': 'k',
      'sub/.gitignore': '!keep.log\nsecret\n',
      'sub/keep.log': 'k',
      'sub/secret': 's',
      'sub/node_modules/x': 'n',
      'env/pyvenv.cfg': '',
      'env/bin/x': '',
    })
    assert.deepEqual(names(await project.build()), [
      '.gitignore',
      'a.js',
      'sub/.gitignore',
      'sub/build/kept',
      'sub/keep.log',
    ])
  })

  it('keeps executable bits and links, absolute ones inside as relative', async () => {
    using project = new Project({ 'run.sh': '#!/bin/sh', 'lib/a.js': 'a' })
    chmodSync(path.join(project.root, 'run.sh'), 0o755)
    symlinkSync('lib/a.js', path.join(project.root, 'link.js'))
    symlinkSync(path.join(project.root, 'run.sh'), path.join(project.root, 'lib/absolute'))
    const { manifest } = await project.build()
    const byPath = Object.fromEntries(manifest.entries.map((entry) => [entry.path, entry]))
    assert.deepEqual(byPath['link.js'], { path: 'link.js', type: 'symlink', target: 'lib/a.js' })
    assert.deepEqual(byPath['lib/absolute'], { path: 'lib/absolute', type: 'symlink', target: '../run.sh' })
    assert.ok(byPath['run.sh']?.type === 'file' && byPath['run.sh'].executable)
    assert.ok(byPath['lib/a.js']?.type === 'file' && !byPath['lib/a.js'].executable)
  })

  it('notices a change that keeps the size, and has the same name all along', async () => {
    using project = new Project({ 'a.js': 'one' })
    const before = await project.build()
    assert.deepEqual((await project.build()).manifest, before.manifest)
    project.write('a.js', 'two')
    const after = await project.build()
    assert.notDeepEqual(after.manifest.entries, before.manifest.entries)
    assert.equal(after.manifest.name, before.manifest.name)
  })

  it('refuses what is too large, naming the largest', async () => {
    using project = new Project({ 'small.js': 'a', 'large.bin': 'x'.repeat(2_000_000) })
    for (const limit of [{ bytesMax: 1_000_000 }, { filesMax: 1 }]) {
      await assert.rejects(project.build('', limit), (error) => {
        assert.ok(isMusterError(error) && error.code === 'workspace_invalid')
        assert.match(error.message, /2 files and 1\.9 MB; the largest: large\.bin \(1\.9 MB\)/)
        return true
      })
    }
  })
})

const throughNpx = (tool: string, version: string, words: string): string =>
  `if command -v ${tool} >/dev/null; then ${tool} ${words}; else npx --yes ${version} ${words}; fi`
const ifInstalled = (tool: string, words: string): string =>
  `if command -v ${tool} >/dev/null; then ${tool} ${words}; else echo 'muster: ${tool} is not installed on this worker; going on without it'; fi`

describe('the set-up command', () => {
  const cases: [string, Record<string, string>, string | undefined][] = [
    ['npm', { 'package.json': '{}', 'package-lock.json': '{}' }, 'npm ci'],
    ['pnpm', { 'package.json': '{}', 'pnpm-lock.yaml': '' }, throughNpx('pnpm', 'pnpm', 'install --frozen-lockfile')],
    [
      'yarn 1',
      { 'package.json': '{}', 'yarn.lock': '# yarn lockfile v1' },
      throughNpx('yarn', 'yarn@1', 'install --frozen-lockfile'),
    ],
    [
      'yarn 4',
      { 'package.json': '{}', 'yarn.lock': '__metadata:\n  version: 8' },
      throughNpx('yarn', '@yarnpkg/cli-dist', 'install --immutable'),
    ],
    ['bun', { 'package.json': '{}', 'bun.lock': '{}' }, throughNpx('bun', 'bun', 'install --frozen-lockfile')],
    [
      'the named one of two',
      { 'package.json': '{"packageManager":"pnpm@9.0.0"}', 'package-lock.json': '', 'pnpm-lock.yaml': '' },
      throughNpx('pnpm', 'pnpm@9.0.0', 'install --frozen-lockfile'),
    ],
    ['uv', { 'uv.lock': '' }, ifInstalled('uv', 'sync --frozen')],
    ['poetry', { 'poetry.lock': '' }, ifInstalled('poetry', 'install --no-interaction')],
    [
      'pip',
      { 'requirements.txt': '' },
      'python3 -m venv .venv && .venv/bin/python -m pip install -q -r requirements.txt',
    ],
    ['go', { 'go.sum': '', 'go.mod': '' }, 'go mod download'],
    [
      'unlocked dependencies',
      { 'package.json': '{"devDependencies":{"mocha":"*"}}' },
      'npm install --no-audit --no-fund --no-package-lock',
    ],
    ['nothing locked', { 'package.json': '{}', 'go.mod': '' }, undefined],
  ]
  for (const [what, files, command] of cases) {
    it(`is found for ${what}`, async () => {
      using project = new Project(files)
      assert.equal((await project.build()).setup, command)
    })
  }

  it('is that of the nearest lockfile, run where that lies', async () => {
    using project = new Project({
      'it’s/package.json': '{}',
      'it’s/package-lock.json': '{}',
      "it's/sub/a.js": '',
      "it's/package.json": '{}',
      "it's/sub/package.json": '{"devDependencies":{"mocha":"*"}}',
      "it's/yarn.lock": '',
    })
    project.git('init')
    assert.equal(
      (await project.build("it's/sub")).setup,
      `cd 'it'\\''s' && ${throughNpx('yarn', 'yarn@1', 'install --frozen-lockfile')}`,
    )
  })

  it('can be given, and switched off', async () => {
    using project = new Project({ 'package.json': '{}', 'package-lock.json': '{}' })
    assert.equal((await project.build('', { setup: 'make deps' })).setup, 'make deps')
    assert.equal((await project.build('', { setup: '' })).setup, undefined)
  })
})
