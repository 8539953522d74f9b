/** What newer Go versions print than the one that the other tests run. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DriverEvent } from '../runner.ts'
import { GoReader } from './events.ts'

async function read(
  lines: readonly object[],
  stderr: readonly string[] = [],
): Promise<{ events: DriverEvent[]; printed: string }> {
  const events: DriverEvent[] = []
  let printed = ''
  const reader = new GoReader(
    { event: (event) => events.push(event), output: (text) => (printed += text) },
    new Map([['example.com/a', './a']]),
  )
  for (const line of lines) assert.equal(reader.stdoutLine(JSON.stringify(line)), true)
  for (const line of stderr) reader.stderrLine(line)
  await reader.exit({ code: 1, signal: null })
  return { events, printed }
}

test('GoReader: build failures of Go 1.24 come as events', async () => {
  const build = 'example.com/a [example.com/a.test]'
  const { events, printed } = await read([
    { ImportPath: build, Action: 'build-output', Output: `# ${build}\n` },
    { ImportPath: build, Action: 'build-output', Output: 'a/a_test.go:5:2: undefined: x\n' },
    { ImportPath: build, Action: 'build-fail' },
    { Action: 'start', Package: 'example.com/a' },
    { Action: 'output', Package: 'example.com/a', Output: 'FAIL\texample.com/a [build failed]\n' },
    { Action: 'fail', Package: 'example.com/a', Elapsed: 0, FailedBuild: build },
  ])
  assert.deepEqual(
    events.map((event) => event.type),
    ['file-start', 'file-end', 'end'],
  )
  const end = events[1]!
  assert.ok(end.type === 'file-end')
  assert.deepEqual(
    end.errors!.map((error) => [error.message, error.type]),
    [['a/a_test.go:5:2: undefined: x', 'BuildError']],
  )
  assert.match(printed, /undefined: x/)
})

test('GoReader: cached results keep what they cost, attributes and pauses are no output', async () => {
  const at = { Package: 'example.com/a', Test: 'TestA' }
  const { events } = await read([
    { Action: 'start', Package: 'example.com/a' },
    { Action: 'run', ...at },
    { Action: 'output', ...at, Output: '=== RUN   TestA\n' },
    { Action: 'attr', ...at, Key: 'k', Value: 'v' },
    { Action: 'output', ...at, Output: '=== NAME  TestA\n' },
    { Action: 'output', ...at, Output: '    a_test.go:3: seen\n' },
    { Action: 'output', ...at, Output: '--- PASS: TestA (1.50s)\n' },
    { Action: 'pass', ...at, Elapsed: 1.5 },
    { Action: 'output', Package: 'example.com/a', Output: 'ok  \texample.com/a\t(cached)\n' },
    { Action: 'pass', Package: 'example.com/a', Elapsed: 0 },
  ])
  assert.deepEqual(events, [
    { type: 'file-start', file: './a' },
    {
      type: 'test',
      test: { file: './a', name: ['TestA'], durationMs: 1500, status: 'passed', output: '    a_test.go:3: seen\n' },
    },
    { type: 'file-end', file: './a', durationMs: 1500 },
    { type: 'end' },
  ])
})
