import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { TaskRecord } from '../../protocol/run-view.ts'
import { isMusterError } from '../../protocol/errors.ts'
import { DefaultReporter } from './default.ts'
import { DotReporter } from './dot.ts'
import { info, finalRun, streamRecords } from './fixtures/recorded-run.ts'
import { GithubReporter } from './github.ts'
import { PlainReporter } from './plain.ts'
import { summarise } from './reporter.ts'
import type { Reporter } from './reporter.ts'
import { parseReporters } from './select.ts'
import type { ReporterSurroundings } from './select.ts'
import type { OutputStream } from './terminal.ts'

class Pipe implements OutputStream {
  text = ''
  readonly isTTY: boolean
  constructor(isTTY: boolean) {
    this.isTTY = isTTY
  }
  write(text: string, written?: (error?: Error | null) => void): void {
    this.text += text
    written?.()
  }
}

function around(
  more: Partial<ReporterSurroundings> & { tty?: boolean } = {},
): ReporterSurroundings & { stdout: Pipe; stderr: Pipe } {
  return { env: {}, cwd: '/nowhere', ...more, stdout: new Pipe(false), stderr: new Pipe(more.tty ?? true) }
}

async function finish(reporters: readonly Reporter[]): Promise<void> {
  const summary = await summarise(finalRun, 3, streamRecords)
  for (const reporter of reporters) await reporter.start?.(info)
  for (const reporter of reporters) await reporter.finish(summary)
  for (const reporter of reporters) await reporter.close?.()
}

const usage =
  (text: RegExp) =>
  (error: unknown): boolean =>
    isMusterError(error) && error.code === 'usage' && text.test(error.message)

describe('parseReporters', () => {
  test('chooses the reporter for people by the surroundings', () => {
    const kind = (more: Parameters<typeof around>[0]): unknown => parseReporters([], around(more))[0]?.constructor
    assert.equal(kind({}), DefaultReporter)
    assert.equal(kind({ tty: false }), PlainReporter)
    assert.equal(kind({ env: { CI: 'true' } }), PlainReporter)
    assert.equal(kind({ env: { CI: 'false' } }), DefaultReporter)
    assert.equal(kind({ env: { NO_COLOR: '1' } }), PlainReporter)
    assert.equal(kind({ env: { TERM: 'dumb' } }), PlainReporter)
    assert.equal(kind({ env: { CI: 'true', GITHUB_ACTIONS: 'true' }, tty: false }), GithubReporter)
  })

  test('takes names and files, each screen reporter once', () => {
    const reporters = parseReporters(['dot', 'dot', 'junit=out.xml', 'json=out.json'], around())
    assert.equal(reporters.length, 3)
    assert.ok(reporters[0] instanceof DotReporter)
  })

  test('refuses what it does not know, and says what it knows', () => {
    assert.throws(
      () => parseReporters(['fancy'], around()),
      usage(/Unknown reporter 'fancy': expected default, plain, dot, github, json, junit or ctrf/),
    )
    assert.throws(() => parseReporters(['toString'], around()), usage(/Unknown reporter/))
    assert.throws(() => parseReporters(['dot=file'], around()), usage(/writes to the screen/))
    assert.throws(() => parseReporters(['junit='], around()), usage(/Expected a file/))
    assert.throws(
      () => parseReporters(['junit'], around({ json: '-' })),
      usage(/Both 'junit' and '--json' would write to stdout/),
    )
  })

  test('writes data to stdout while people read stderr', async () => {
    const surroundings = around({ json: '-', tty: false })
    await finish(parseReporters([], surroundings))
    assert.equal(JSON.parse(surroundings.stdout.text).run, 'r-7f3a2c')
    assert.match(surroundings.stderr.text, /planned 12 files = 12 accounted/)
  })

  test('writes files whole, making their folder, and leaves nothing else', async () => {
    await using folder = await temporary()
    await writeFile(join(folder.path, 'old.json'), 'old')
    await finish(
      parseReporters(
        ['junit=deep/out.xml'],
        around({ cwd: folder.path, json: 'old.json', ctrf: join(folder.path, 'ctrf.json') }),
      ),
    )
    assert.deepEqual((await readdir(folder.path)).toSorted(), ['ctrf.json', 'deep', 'old.json'])
    assert.match(await readFile(join(folder.path, 'deep/out.xml'), 'utf8'), /<\/testsuites>\n$/)
    assert.equal(JSON.parse(await readFile(join(folder.path, 'old.json'), 'utf8')).planned, 12)
  })

  test('says at the start that a place cannot be written', async () => {
    await using folder = await temporary()
    await mkdir(join(folder.path, 'a-folder'))
    await writeFile(join(folder.path, 'a-file'), '')
    for (const path of ['a-folder', 'a-file/below.json']) {
      const [, reporter] = parseReporters([], around({ cwd: folder.path, json: path }))
      await assert.rejects(async () => reporter!.start!(info), usage(/Cannot write the report/))
    }
    assert.deepEqual((await readdir(folder.path)).toSorted(), ['a-file', 'a-folder'])
  })

  test('keeps the old file when writing the new one fails', async () => {
    await using folder = await temporary()
    const path = join(folder.path, 'out.xml')
    await writeFile(path, 'old')
    const [reporter] = parseReporters(['junit=out.xml'], around({ cwd: folder.path }))
    await reporter!.start!(info)
    const broken = { ...(await summarise(finalRun, 3, streamRecords)), records: () => failing() }
    await assert.rejects(async () => reporter!.finish(broken), /the coordinator went away/)
    assert.equal(await readFile(path, 'utf8'), 'old')
    assert.deepEqual(await readdir(folder.path), ['out.xml'])
  })
})

async function* failing(): AsyncGenerator<TaskRecord> {
  yield* streamRecords()
  throw new Error('the coordinator went away')
}

async function temporary(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'muster-select-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}
