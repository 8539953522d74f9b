import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { isMusterError } from '../protocol/errors.ts'
import type { Manifest } from '../protocol/worker-messages.ts'
import type { WorkspaceRequest } from './batch.ts'
import { CoordinatorHttp, parseEndpoint } from './endpoint.ts'
import { TestCoordinator } from './test-coordinator.ts'
import { startTestWorker, temporaryFolder } from './test-worker.ts'
import { type Workspace, Workspaces } from './workspaces.ts'

type Files = Readonly<Record<string, string | { readonly link: string } | { readonly executable: string }>>

function addManifest(coordinator: TestCoordinator, files: Files, name = 'ws'): string {
  const entries = Object.entries(files).map(([file, content]): Manifest['entries'][number] => {
    if (typeof content === 'object' && 'link' in content) return { path: file, type: 'symlink', target: content.link }
    const bytes = Buffer.from(typeof content === 'string' ? content : content.executable)
    return {
      path: file,
      type: 'file',
      hash: coordinator.addBlob(bytes),
      bytes: bytes.length,
      executable: typeof content === 'object',
    }
  })
  return coordinator.addBlob(Buffer.from(JSON.stringify({ version: 1, name, entries } satisfies Manifest)))
}

class Fixture implements AsyncDisposable {
  readonly coordinator = new TestCoordinator()
  readonly folder = temporaryFolder()
  readonly #http = new CoordinatorHttp([parseEndpoint(this.coordinator.url)])
  readonly #warnings: string[] = []
  readonly workspaces: Workspaces
  setups = 0
  setupExitCode = 0

  constructor(bytesMax = 1e9) {
    this.workspaces = new Workspaces(this.folder.path, this.#http, bytesMax, (level, text) => {
      if (level === 'warning' || level === 'error') this.#warnings.push(text)
    })
  }

  acquire(files: Files, options: Partial<WorkspaceRequest> = {}, name?: string): Promise<Workspace> {
    return this.workspaces.acquire({
      manifest: addManifest(this.coordinator, files, name),
      setup: undefined,
      signal: new AbortController().signal,
      output: () => {},
      run: (_argv, _root, output) => {
        this.setups += 1
        output(Buffer.from('installing\n'))
        return Promise.resolve({ code: this.setupExitCode, signal: null, leftovers: 0 })
      },
      ...options,
    })
  }

  /** What was warned of since the last look. */
  warnings(): string[] {
    return this.#warnings.splice(0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#http.close()
    await this.coordinator.stop()
    await this.workspaces.settled()
    this.folder[Symbol.dispose]()
    assert.deepEqual(this.#warnings, [])
  }
}

async function fixture(bytesMax?: number): Promise<Fixture> {
  const made = new Fixture(bytesMax)
  await made.coordinator.start()
  return made
}

describe('a workspace', () => {
  it('is made with its bits and links, and only what is missing is fetched later', async () => {
    await using t = await fixture()
    const files: Files = {
      'a.txt': 'a',
      'sub/run.sh': { executable: '#!/bin/sh\n' },
      'sub/link': { link: '../a.txt' },
      same: 'a',
      empty: '',
    }
    const first = await t.acquire(files)
    assert.equal(readFileSync(path.join(first.root, 'sub/link'), 'utf8'), 'a')
    assert.equal(lstatSync(path.join(first.root, 'sub/run.sh')).mode & 0o777, 0o755)
    assert.equal(lstatSync(path.join(first.root, 'a.txt')).mode & 0o777, 0o644)
    await first.release()
    t.coordinator.blobRequests.length = 0
    const second = await t.acquire({ ...files, 'new.txt': 'new' })
    assert.equal(second.root, first.root)
    assert.equal(t.coordinator.blobRequests.length, 2, 'the manifest and the new file')
    await second.release()
  })

  it('is gone after a recycling, unless in use; damaged content goes, the rest needs no fetching again', async () => {
    await using t = await fixture()
    const files: Files = { 'a.txt': 'good', 'b.txt': 'fine' }
    const idle = await t.acquire(files)
    writeFileSync(path.join(idle.root, 'left-behind'), '')
    await idle.release()
    const used = await t.acquire(files, {}, 'other')
    const hash = t.coordinator.addBlob(Buffer.from('fine'))
    writeFileSync(path.join(t.folder.path, 'cache', hash.slice(0, 2), hash), 'evil')
    await t.workspaces.clear()
    assert.ok(!existsSync(idle.root))
    assert.ok(existsSync(path.join(used.root, 'a.txt')))
    assert.deepEqual(t.warnings(), ['1 damaged file(s) of the content cache were removed'])
    t.coordinator.blobRequests.length = 0
    const again = await t.acquire(files)
    assert.deepEqual(readFileSync(path.join(again.root, 'b.txt'), 'utf8'), 'fine')
    assert.equal(t.coordinator.blobRequests.length, 2, 'the manifest and the damaged file')
    await again.release()
    await used.release()
  })

  it('is updated in place: what differs is restored, what is gone is deleted, what is not its own stays', async () => {
    await using t = await fixture()
    const first = await t.acquire({
      'kept.txt': 'kept',
      'changed.txt': 'one',
      'old/deep/gone.txt': 'gone',
      'run.sh': { executable: 'x' },
      link: { link: 'kept.txt' },
      'was-file': 'f',
    })
    const at = (name: string): string => path.join(first.root, name)
    const keptBefore = lstatSync(at('kept.txt'))
    mkdirSync(at('node_modules/x'), { recursive: true })
    writeFileSync(at('node_modules/x/index.js'), 'installed')
    // What tests do: write into a file keeping size and time, remove one, change a mode, put a folder in a file's place.
    const { atime, mtime } = lstatSync(at('changed.txt'))
    writeFileSync(at('changed.txt'), 'eno')
    utimesSync(at('changed.txt'), atime, mtime)
    chmodSync(at('run.sh'), 0o644)
    rmSync(at('link'))
    mkdirSync(at('link/inside'), { recursive: true })
    await first.release()
    const second = await t.acquire({
      'kept.txt': 'kept',
      'changed.txt': 'one',
      'run.sh': { executable: 'x' },
      link: { link: 'changed.txt' },
      'was-file/now-folder': 'n',
    })
    assert.equal(second.root, first.root)
    assert.equal(readFileSync(at('changed.txt'), 'utf8'), 'one')
    assert.equal(lstatSync(at('run.sh')).mode & 0o777, 0o755)
    assert.equal(readlinkSync(at('link')), 'changed.txt')
    assert.equal(readFileSync(at('was-file/now-folder'), 'utf8'), 'n')
    assert.equal(readFileSync(at('node_modules/x/index.js'), 'utf8'), 'installed')
    assert.ok(!existsSync(at('old')))
    assert.equal(lstatSync(at('kept.txt')).ino, keptBefore.ino)
    assert.equal(lstatSync(at('kept.txt')).ctimeMs, keptBefore.ctimeMs)
    await second.release()
  })

  it('never writes through a link that a test left in a folder’s place', async () => {
    await using t = await fixture()
    using outside = temporaryFolder()
    writeFileSync(path.join(outside.path, 'file'), 'precious')
    const first = await t.acquire({ 'sub/file': 'one' })
    rmSync(path.join(first.root, 'sub'), { recursive: true })
    symlinkSync(outside.path, path.join(first.root, 'sub'))
    await first.release()
    const second = await t.acquire({ 'sub/file': 'two' })
    assert.equal(readFileSync(path.join(outside.path, 'file'), 'utf8'), 'precious')
    assert.equal(readFileSync(path.join(second.root, 'sub/file'), 'utf8'), 'two')
    rmSync(path.join(second.root, 'sub'), { recursive: true })
    symlinkSync(outside.path, path.join(second.root, 'sub'))
    await second.release()
    await (await t.acquire({ other: 'x' })).release()
    assert.equal(readFileSync(path.join(outside.path, 'file'), 'utf8'), 'precious')
  })

  const refused: Readonly<Record<string, Files>> = {
    'an absolute path': { '/etc/passwd': 'x' },
    'a path that climbs out': { '../outside': 'x' },
    'a path that climbs out in its middle': { 'a/../../outside': 'x' },
    'an empty step': { 'a//b': 'x' },
    'a NUL byte': { 'a\0b': 'x' },
    'a path through a link of its own': { a: { link: '/tmp' }, 'a/b': 'x' },
    'a path through a file of its own': { a: 'x', 'a/b/c': 'x' },
  }
  for (const [what, files] of Object.entries(refused)) {
    it(`refuses ${what}`, async () => {
      await using t = await fixture()
      await assert.rejects(t.acquire(files), (error) => isMusterError(error) && error.code === 'workspace_invalid')
    })
  }

  it('refuses a name that leads elsewhere, and content that is not what its hash says', async () => {
    await using t = await fixture()
    await assert.rejects(
      t.acquire({ a: 'x' }, {}, '../../x'),
      (error) => isMusterError(error) && error.code === 'workspace_invalid',
    )
    const hash = t.coordinator.addBlob(Buffer.from('right'))
    t.coordinator.blobs.set(hash, Buffer.from('wrong'))
    const manifest: Manifest = {
      version: 1,
      name: 'ws',
      entries: [{ path: 'a', type: 'file', hash, bytes: 5, executable: false }],
    }
    const key = t.coordinator.addBlob(Buffer.from(JSON.stringify(manifest)))
    await assert.rejects(t.acquire({}, { manifest: key }), /came with other content/)
  })

  it('is shared by batches of one manifest, and not by those of two', async () => {
    await using t = await fixture()
    const [first, second, other] = await Promise.all([
      t.acquire({ a: 'one' }),
      t.acquire({ a: 'one' }),
      t.acquire({ a: 'two' }),
    ])
    assert.equal(first.root, second.root)
    assert.notEqual(first.root, other.root)
    assert.equal(readFileSync(path.join(first.root, 'a'), 'utf8'), 'one')
    assert.equal(readFileSync(path.join(other.root, 'a'), 'utf8'), 'two')
    for (const one of [first, second, other]) await one.release()
  })

  it('is made for the second batch when the first is cancelled meanwhile', async () => {
    await using t = await fixture()
    const abort = new AbortController()
    const first = t.acquire(
      { a: 'one' },
      { setup: 'x', signal: abort.signal, run: () => Promise.reject(new Error('cancelled')) },
    )
    const second = t.acquire({ a: 'one' }, { setup: 'x' })
    abort.abort()
    await assert.rejects(first)
    const { root, release } = await second
    assert.equal(readFileSync(path.join(root, 'a'), 'utf8'), 'one')
    await release()
  })

  it('is set up once for each lockfile and command, and again after a failure', async () => {
    await using t = await fixture()
    const use = async (files: Files, setup = 'npm ci'): Promise<void> => (await t.acquire(files, { setup })).release()
    await use({ 'package-lock.json': '1', 'a.js': '1' })
    await use({ 'package-lock.json': '1', 'a.js': '2' })
    assert.equal(t.setups, 1)
    await use({ 'package-lock.json': '2' })
    assert.equal(t.setups, 2)
    await use({ 'package-lock.json': '2' }, 'npm ci --force')
    assert.equal(t.setups, 3)
    t.setupExitCode = 1
    await assert.rejects(use({ 'package-lock.json': '3' }), /'npm ci' exited with code 1:\ninstalling/)
    t.setupExitCode = 0
    await use({ 'package-lock.json': '3' })
    assert.equal(t.setups, 5)
  })

  it('goes when space is short, the longest unused first', async () => {
    await using t = await fixture(3_000_000)
    const use = async (name: string): Promise<string> => {
      const { root, release } = await t.acquire({ large: name.repeat(1_000_000) }, { setup: 'true' }, name)
      await release()
      await t.workspaces.settled()
      return root
    }
    const roots = [await use('a'), await use('b'), await use('c')]
    assert.ok(!existsSync(path.join(roots[0]!, 'large')))
    assert.ok(existsSync(path.join(roots[2]!, 'large')))
  })
})

describe('a batch of a workspace that travels', () => {
  it('runs in it, after its set-up, with what the caller sent along on top of the worker’s environment', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    using folder = temporaryFolder()
    const report = path.join(folder.path, 'env.json')
    const manifest = addManifest(coordinator, { 'sub/a.txt': 'a' })
    const workspace = { type: 'travel', manifest, setup: 'echo "set up in $PWD" && touch ready' } as const
    const { batch } = coordinator.assign([`env:${report}`], { cwd: 'sub', workspace, env: { SENT: 'along' } })
    const ended = await coordinator.ended(batch)
    assert.equal(ended.reason, 'completed', ended.message ?? '')
    const seen = JSON.parse(readFileSync(report, 'utf8')) as { env: Record<string, string>; cwd: string }
    assert.equal(path.basename(seen.cwd), 'sub')
    assert.equal(seen.env['SENT'], 'along')
    assert.equal(seen.env['HOME'], process.env['HOME'])
    assert.match(ended.output!, /set up in .*root\n/)
    assert.ok(existsSync(path.join(seen.cwd, '..', 'ready')))
  })

  it('does not start when the set-up fails, and says why', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const workspace = {
      type: 'travel',
      manifest: addManifest(coordinator, { a: 'a' }),
      setup: 'echo no such package >&2; exit 7',
    } as const
    const ended = await coordinator.ended(coordinator.assign(['pass'], { cwd: '', workspace }).batch)
    assert.equal(ended.reason, 'failed-to-start')
    assert.match(ended.message!, /exited with code 7:\nno such package/)
  })

  it('cannot have its working directory outside', async () => {
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator)
    const workspace = { type: 'travel', manifest: addManifest(coordinator, { a: 'a' }) } as const
    const ended = await coordinator.ended(coordinator.assign(['pass'], { cwd: '../..', workspace }).batch)
    assert.equal(ended.reason, 'failed-to-start')
    assert.match(ended.message!, /leaves the workspace/)
  })
})
