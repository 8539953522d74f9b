/** go test end to end: a real module, compiled and run by the machine's own Go. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertComplete, assertCrashed, collectFiles, findTest, runErrors, statuses } from '../conformance/expect.ts'
import { inlineProject } from '../conformance/inline-project.ts'
import { runBatch } from '../conformance/run-batch.ts'
import { goRunner } from './runner.ts'

const go = (name: string, imports: string, body: string) =>
  `package ${name}\n\nimport (\n${imports
    .split(' ')
    .map((one) => `\t"${one}"\n`)
    .join('')})\n\n${body}\n`

const outcomes = go(
  'outcomes',
  'fmt os testing',
  `func TestPasses(t *testing.T) { fmt.Println("said by the test") }
func TestNoLineEnd(t *testing.T) { fmt.Print("no line end") }
func TestFails(t *testing.T) { t.Errorf("got %d, want %d", 1, 2) }
func TestSkipped(t *testing.T) { t.Skip("not today") }
func TestOuter(t *testing.T) {
	t.Run("inner one", func(t *testing.T) { t.Run("deep", func(t *testing.T) {}) })
	t.Run("größe", func(t *testing.T) { t.Fatal("innen") })
}
func TestParallel(t *testing.T) {
	for _, name := range []string{"a", "b"} { t.Run(name, func(t *testing.T) { t.Parallel() }) }
}
func TestHuge(t *testing.T) { for i := 0; i < 20000; i++ { fmt.Println("a line that is printed very often") } }
func ExampleHello() { fmt.Println("hello"); // Output: hello
}
func FuzzSeed(f *testing.F) { f.Add("x"); f.Fuzz(func(t *testing.T, s string) {}) }
func BenchmarkNot(b *testing.B) { for i := 0; i < b.N; i++ {} }
func TestEnv(t *testing.T) { if os.Getenv("GOMAXPROCS") != "2" { t.Fatal(os.Getenv("GOMAXPROCS")) } }`,
).replace('fmt.Println("hello"); //', 'fmt.Println("hello")\n\t//')

const files = {
  'go.mod': 'module example.com/shop\n\ngo 1.18\n',
  'root.go': 'package shop\n',
  'root_test.go': go('shop', 'testing', 'func TestRoot(t *testing.T) {}'),
  'outcomes/outcomes_test.go': outcomes,
  'outside/outside.go': 'package outside\n',
  'outside/outside_test.go': go('outside_test', 'testing', 'func TestFromOutside(t *testing.T) {}'),
  'untested/untested.go': 'package untested\n',
  'without/without_test.go': 'package without\n',
  'broken/broken_test.go': go('broken', 'testing', 'func TestBroken(t *testing.T) { undefinedThing() }'),
  'syntax/syntax.go': 'package syntax\n\nfunc {\n',
  'syntax/syntax_test.go': go('syntax', 'testing', 'func TestSyntax(t *testing.T) {}'),
  'panics/panics_test.go': go(
    'panics',
    'testing',
    'func TestBefore(t *testing.T) {}\nfunc TestPanics(t *testing.T) { var m map[string]int; m["x"] = 1 }\nfunc TestAfter(t *testing.T) {}',
  ),
  'exits/exits_test.go': go(
    'exits',
    'os testing',
    'func TestBefore(t *testing.T) {}\nfunc TestExits(t *testing.T) { os.Exit(3) }',
  ),
  'main/main_test.go': go(
    'main',
    'os testing',
    'func TestFine(t *testing.T) {}\nfunc TestMain(m *testing.M) { m.Run(); os.Exit(4) }',
  ),
  'hangs/hangs_test.go': go(
    'hangs',
    'testing time',
    'func TestBefore(t *testing.T) {}\nfunc TestHangs(t *testing.T) { time.Sleep(time.Hour) }',
  ),
  'segv/segv_test.go': go(
    'segv',
    'os syscall testing',
    'func TestDies(t *testing.T) { syscall.Kill(os.Getpid(), syscall.SIGSEGV); select {} }',
  ),
  'windows/windows_test.go': `//go:build windows\n\n${go('windows', 'testing', 'func TestWindows(t *testing.T) {}')}`,
  'testdata/x_test.go': 'package x\n',
}
const offline = { GOFLAGS: '-mod=mod', GOPROXY: 'off', GOTOOLCHAIN: 'local' }

test('goRunner: packages, and every kind of outcome', async () => {
  await using project = await inlineProject(files)
  const chosen = [
    '.',
    './broken',
    './exits',
    './main',
    './outcomes',
    './outside',
    './panics',
    './segv',
    './syntax',
    './without',
  ]
  const run = await runBatch(goRunner, { cwd: project.cwd, files: chosen, env: offline, timeoutMs: 300_000 })
  assert.deepEqual(run.listing.files, [...chosen, './hangs'].toSorted())
  assertComplete(run.events, chosen)
  const found = collectFiles(run.events)
  assert.deepEqual(statuses(found.get('.')), { TestRoot: 'passed' })
  assert.deepEqual(statuses(found.get('./outside')), { TestFromOutside: 'passed' })
  assert.deepEqual([found.get('./without')!.tests, found.get('./without')!.errors], [[], []])
  const outcome = found.get('./outcomes')
  assert.deepEqual(statuses(outcome), {
    TestPasses: 'passed',
    TestNoLineEnd: 'passed',
    TestFails: 'failed',
    TestSkipped: 'skipped',
    'TestOuter > inner_one > deep': 'passed',
    'TestOuter > inner_one': 'passed',
    'TestOuter > größe': 'failed',
    TestOuter: 'failed',
    'TestParallel > a': 'passed',
    'TestParallel > b': 'passed',
    TestParallel: 'passed',
    TestHuge: 'passed',
    TestEnv: 'passed',
    ExampleHello: 'passed',
    'FuzzSeed > seed#0': 'passed',
    FuzzSeed: 'passed',
  })
  assert.deepEqual(findTest(outcome, 'TestPasses').output, 'said by the test\n')
  const failure = findTest(outcome, 'TestFails').errors![0]!
  assert.deepEqual([failure.message, failure.file, failure.line], ['got 1, want 2', 'outcomes/outcomes_test.go', 11])
  assert.equal(findTest(outcome, 'TestSkipped').reason, 'not today')
  assert.equal(findTest(outcome, 'TestOuter').errors![0]!.message, 'failed (see its subtests)')
  assert.ok(findTest(outcome, 'TestHuge').output!.length < 300_000)
  assert.match(found.get('./broken')!.errors[0]!.message, /broken_test\.go:7:\d+: undefined: undefinedThing/)
  assert.match(found.get('./syntax')!.errors[0]!.message, /syntax\.go:3:6: /)
  assert.deepEqual(statuses(found.get('./panics')), { TestBefore: 'passed', TestPanics: 'failed' })
  assert.match(
    findTest(found.get('./panics'), 'TestPanics').errors![0]!.message,
    /^panic: assignment to entry in nil map/,
  )
  assert.deepEqual(statuses(found.get('./exits')), { TestBefore: 'passed', TestExits: 'failed' })
  assert.match(
    findTest(found.get('./exits'), 'TestExits').errors![0]!.message,
    /^did not finish: the program ended early/,
  )
  assert.deepEqual(statuses(found.get('./main')), { TestFine: 'passed' })
  assert.match(found.get('./main')!.errors[0]!.message, /exit (status 4|code)/)
  assert.deepEqual(statuses(found.get('./segv')), { TestDies: 'failed' })
  assert.deepEqual(runErrors(run.events), [])

  const again = await runBatch(goRunner, {
    cwd: project.cwd,
    files: ['.'],
    env: offline,
    args: ['-run', 'Nothing', '-count=1'],
  })
  assertComplete(again.events, ['.'])
  assert.deepEqual(collectFiles(again.events).get('.')!.tests, [])
})

test("goRunner: a package that hangs stays unended; Go's own time limit names the test", async () => {
  await using project = await inlineProject({
    'go.mod': files['go.mod'],
    'hangs/hangs_test.go': files['hangs/hangs_test.go'],
  })
  const limited = await runBatch(goRunner, {
    cwd: project.cwd,
    env: offline,
    args: ['-timeout', '1s'],
    timeoutMs: 120_000,
  })
  assertComplete(limited.events, ['./hangs'])
  assert.match(
    findTest(collectFiles(limited.events).get('./hangs'), 'TestHangs').errors![0]!.message,
    /^panic: test timed out after 1s/,
  )
  const run = await runBatch(goRunner, {
    cwd: project.cwd,
    env: offline,
    timeoutMs: 4000,
    hangsFrom: (event) => event.type === 'test',
  })
  assert.equal(run.killed, true)
  const found = collectFiles(run.events)
  assert.deepEqual(statuses(found.get('./hangs')), { TestBefore: 'passed' })
  assertCrashed(found, './hangs')
})
