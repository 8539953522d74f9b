import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { Failure } from '../../protocol/run-view.ts'
import { FakeClock, FakeTerminal } from './fixtures/fake-terminal.ts'
import { play } from './fixtures/play.ts'
import { finalRun, info, startMs, streamRecords } from './fixtures/recorded-run.ts'
import { GithubReporter } from './github.ts'
import { summarise } from './reporter.ts'

const golden = (name: string): string => join(import.meta.dirname, 'fixtures/golden', name)
const asIs = { serializers: [(value: unknown) => String(value)] }

describe('GithubReporter', () => {
  test('groups what passed, annotates what failed, writes the job summary', async (t) => {
    await using folder = await temporary()
    const summary = join(folder.path, 'summary.md')
    await writeFile(summary, 'before\n')
    const clock = new FakeClock(startMs)
    const terminal = new FakeTerminal(clock, 100)
    const env = { GITHUB_WORKSPACE: '/repo', GITHUB_STEP_SUMMARY: summary }
    await play(new GithubReporter(terminal, clock, env, '/repo/packages/shop'), clock)
    t.assert.fileSnapshot(terminal.raw, golden('github.txt'), asIs)
    t.assert.fileSnapshot(await readFile(summary, 'utf8'), golden('github-summary.md'), asIs)
  })

  test('escapes annotations, writes ten of them at most, and keeps the summary within 1 MiB', async () => {
    await using folder = await temporary()
    const path = join(folder.path, 'summary.md')
    const clock = new FakeClock(startMs)
    const terminal = new FakeTerminal(clock, 100)
    const reporter = new GithubReporter(terminal, clock, { GITHUB_STEP_SUMMARY: path }, '/repo')
    const failures: Failure[] = Array.from({ length: 3000 }, (_, at) => ({
      file: 'a,b:c.test.ts',
      name: [`50%\nof ${at}`],
      line: at + 1,
      attempt: 1,
      errors: [{ message: 'first\n100% wrong', stack: 'x'.repeat(900) }],
    }))
    reporter.start(info)
    await reporter.finish({ ...(await summarise(finalRun, 1, streamRecords)), failures })
    const annotations = terminal.raw.split('\n').filter((line) => line.startsWith('::error '))
    assert.equal(annotations.length, 10)
    assert.equal(
      annotations[0],
      '::error file=a%2Cb%3Ac.test.ts,line=1,title=a%2Cb%3Ac.test.ts › 50%25\\nof 0::first%0A100%25 wrong',
    )
    const summary = await readFile(path)
    assert.ok(summary.length < 1024 * 1024, `${summary.length} bytes`)
    assert.match(summary.toString(), /… and \d+ more that don't fit here/)
  })

  test('lets no workflow command of a test through', () => {
    const clock = new FakeClock(startMs)
    const terminal = new FakeTerminal(clock, 100)
    const reporter = new GithubReporter(terminal, clock, {}, '/repo')
    reporter.start(info)
    const errors = [{ message: 'a\n::set-output name=x::y\n##[group]z' }]
    reporter.message({
      type: 'test',
      task: 0,
      file: 'a.test.ts',
      name: ['evil'],
      status: 'failed',
      flaky: false,
      durationMs: 1,
      errors,
    })
    reporter.close()
    const lines = terminal.raw.trimEnd().split('\n')
    const stop = lines.findIndex((line) => line.startsWith('::stop-commands::'))
    const token = lines[stop]!.slice('::stop-commands::'.length)
    const go = lines.indexOf(`::${token}::`)
    const evil = lines.findIndex((line) => line.includes('::set-output'))
    assert.ok(stop >= 0 && stop < evil && evil < go)
  })
})

async function temporary(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'muster-github-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}
