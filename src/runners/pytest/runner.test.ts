/** pytest end to end: real projects, the machine's own pytest, started as a worker would. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MusterError } from '../../protocol/errors.ts'
import { countTests } from '../../protocol/results.ts'
import { assertComplete, assertCrashed, collectFiles, findTest, runErrors, statuses } from '../conformance/expect.ts'
import { inlineProject } from '../conformance/inline-project.ts'
import { readProject, runBatch } from '../conformance/run-batch.ts'
import { pytestRunner } from './runner.ts'

const outcomes = `
import sys
import unittest
import pytest

def test_passes():
    print("said by the test")

def test_fails():
    left = [1, 2]
    assert left == [1, 3]

def test_raises():
    raise ValueError("boom — ünïcode")

@pytest.mark.skip(reason="not today")
def test_skipped(): pass

@pytest.mark.xfail(reason="known")
def test_known_to_fail(): assert False

@pytest.mark.xfail
def test_passes_unexpectedly(): pass

@pytest.mark.xfail(strict=True, reason="must fail")
def test_strict(): pass

@pytest.mark.parametrize("value", ["a", "b::c", "d[e]", "ü"])
def test_each(value): assert value != "a"

class TestOuter:
    class TestInner:
        def test_deep(self): pass

@pytest.fixture
def broken(): raise RuntimeError("set-up broke")

def test_broken_setup(broken): pass

@pytest.fixture
def breaks_after():
    yield
    raise RuntimeError("tear-down broke")

def test_broken_teardown(breaks_after): pass

class Unit(unittest.TestCase):
    def test_unit(self): self.assertEqual(1, 1)
    @unittest.skip("unit skip")
    def test_unit_skip(self): pass

def test_große_namen(): pass
`

test('pytestRunner: every kind of outcome, with names, reasons, errors, output and lines', async () => {
  await using project = await inlineProject({ 'conftest.py': '', 'tests/test_outcomes.py': outcomes })
  const run = await runBatch(pytestRunner, { cwd: project.cwd })
  assertComplete(run.events, ['tests/test_outcomes.py'])
  const file = collectFiles(run.events).get('tests/test_outcomes.py')
  assert.deepEqual(statuses(file), {
    test_passes: 'passed',
    test_fails: 'failed',
    test_raises: 'failed',
    test_skipped: 'skipped',
    test_known_to_fail: 'skipped',
    test_passes_unexpectedly: 'passed',
    test_strict: 'failed',
    'test_each[a]': 'failed',
    'test_each[b::c]': 'passed',
    'test_each[d[e]]': 'passed',
    'test_each[\\xfc]': 'passed',
    'TestOuter > TestInner > test_deep': 'passed',
    test_broken_setup: 'failed',
    test_broken_teardown: 'failed',
    'Unit > test_unit': 'passed',
    'Unit > test_unit_skip': 'skipped',
    test_große_namen: 'passed',
  })
  assert.equal(findTest(file, 'test_passes').output, 'said by the test\n')
  assert.equal(findTest(file, 'test_passes').line, 6)
  const failed = findTest(file, 'test_fails').errors![0]!
  assert.match(failed.message, /^assert \[1, 2\] == \[1, 3\]/)
  assert.equal(failed.type, 'AssertionError')
  assert.equal(failed.file, 'tests/test_outcomes.py')
  assert.equal(failed.line, 11)
  assert.match(failed.stack!, />\s+assert left == \[1, 3\]/)
  assert.deepEqual(
    [findTest(file, 'test_raises').errors![0]!.message, findTest(file, 'test_raises').errors![0]!.type],
    ['ValueError: boom — ünïcode', 'ValueError'],
  )
  assert.equal(findTest(file, 'test_skipped').reason, 'not today')
  assert.equal(findTest(file, 'test_known_to_fail').reason, 'xfail: known')
  assert.equal(findTest(file, 'test_passes_unexpectedly').reason, 'xpass')
  assert.match(findTest(file, 'test_strict').errors![0]!.message, /XPASS\(strict\)/)
  assert.equal(findTest(file, 'test_broken_setup').errors![0]!.message, 'set-up: RuntimeError: set-up broke')
  assert.equal(findTest(file, 'test_broken_teardown').errors![0]!.message, 'tear-down: RuntimeError: tear-down broke')
  assert.equal(findTest(file, 'Unit', 'test_unit_skip').reason, 'unit skip')
  assert.deepEqual(run.events.at(-1), { type: 'end' })
})

test('pytestRunner: a file that fails to load does not stop the others; empty and skipped files are complete', async () => {
  await using project = await inlineProject({
    'pytest.ini': '[pytest]\naddopts = -x\n',
    'test_broken.py': 'import nothing_of_that_name\ndef test_never(): pass\n',
    'test_empty.py': 'value = 1\n',
    'test_module_skip.py': 'import pytest\npytest.skip("whole file", allow_module_level=True)\n',
    'test_syntax.py': 'def test_(:\n',
    'sub dir/test_with space.py': 'def test_fine(): pass\n',
    'test_zz.py': 'def test_one(): assert 0\ndef test_two(): assert 0\n',
  })
  const run = await runBatch(pytestRunner, { cwd: project.cwd })
  const names = [
    'sub dir/test_with space.py',
    'test_broken.py',
    'test_empty.py',
    'test_module_skip.py',
    'test_syntax.py',
    'test_zz.py',
  ]
  assert.deepEqual(run.listing.files, names)
  assertComplete(run.events, names)
  const files = collectFiles(run.events)
  assert.match(files.get('test_broken.py')!.errors[0]!.message, /No module named 'nothing_of_that_name'/)
  assert.match(files.get('test_syntax.py')!.errors[0]!.message, /SyntaxError/)
  assert.deepEqual([files.get('test_empty.py')!.tests.length, files.get('test_empty.py')!.errors.length], [0, 0])
  assert.equal(files.get('test_module_skip.py')!.skipped, true)
  assert.deepEqual(
    files.get('test_module_skip.py')!.tests.map((one) => [one.name, one.status, one.reason]),
    [[['test_module_skip'], 'skipped', 'whole file']],
  )
  assert.deepEqual(statuses(files.get('test_zz.py')), { test_one: 'failed', test_two: 'failed' })
  assert.deepEqual(statuses(files.get('sub dir/test_with space.py')), { test_fine: 'passed' })
})

test('pytestRunner.list: what pytest collects by its own configuration, without importing a test module', async () => {
  await using project = await inlineProject({
    'pyproject.toml':
      '[tool.pytest.ini_options]\ntestpaths = ["tests", "src"]\npython_files = ["check_*.py"]\naddopts = "--doctest-modules --ignore=tests/ignored --doctest-glob=*.md"\nnorecursedirs = ["fixtures"]\n',
    'conftest.py': 'collect_ignore = ["tests/check_left_out.py"]\n',
    'src/module.py': 'raise SystemExit("imported")\n',
    'tests/__init__.py': '',
    'tests/check_a.py': 'raise SystemExit("imported")\n',
    'tests/test_not_ours.py': 'raise SystemExit("imported")\n',
    'tests/check_left_out.py': '',
    'tests/ignored/check_b.py': '',
    'tests/fixtures/check_c.py': '',
    'tests/guide.md': '>>> 1 + 1\n2\n',
    'check_outside.py': '',
  })
  const request = { project: await readProject(project.cwd), signal: AbortSignal.timeout(60_000) }
  const detection = (await pytestRunner.detect(request.project))!
  assert.equal(detection.reason, '[tool.pytest.ini_options] in pyproject.toml')
  const listing = await pytestRunner.list({ ...request, detection, paths: [], args: [] })
  assert.deepEqual(
    listing.files.filter((file) => !file.endsWith('__init__.py')),
    ['src/module.py', 'tests/check_a.py', 'tests/guide.md', 'tests/test_not_ours.py'],
  )
  assert.ok(listing.dependsOn!.includes(`${project.cwd}/conftest.py`))
  assert.ok(listing.dependsOn!.includes(`${project.cwd}/pyproject.toml`))
  const one = await pytestRunner.list({ ...request, detection, paths: ['tests/check_a.py::test_x'], args: [] })
  assert.deepEqual(one.files, ['tests/check_a.py'])
  await assert.rejects(
    pytestRunner.list({ ...request, detection, paths: ['nowhere'], args: [] }),
    (error: unknown) =>
      error instanceof MusterError && error.code === 'framework_failed' && /nowhere/.test(error.message),
  )
})

test('pytestRunner: a batch runs its own files only, as they would run natively', async () => {
  await using project = await inlineProject({
    'pytest.ini': '[pytest]\naddopts = --doctest-modules\n',
    'src/module.py': 'def test_is_not_a_test():\n    """\n    >>> 1 + 1\n    2\n    """\n',
    'tests/test_a.py': 'def test_one(): pass\ndef test_two(): pass\n',
    'tests/test_b.py': 'def test_one(): pass\n',
    'tests/test_c.py': 'def test_one(): pass\n',
  })
  const files = ['src/module.py', 'tests/test_a.py']
  const run = await runBatch(pytestRunner, { cwd: project.cwd, files })
  assert.deepEqual(run.listing.files, ['src/module.py', 'tests/test_a.py', 'tests/test_b.py', 'tests/test_c.py'])
  assertComplete(run.events, files)
  assert.deepEqual(statuses(collectFiles(run.events).get('src/module.py')), { 'module.test_is_not_a_test': 'passed' })

  const ids = ['tests/test_a.py::test_two', 'tests/test_b.py::test_one']
  const chosen = await runBatch(pytestRunner, { cwd: project.cwd, files: ['tests/test_a.py'], paths: ids })
  assert.deepEqual(chosen.listing.files, ['tests/test_a.py', 'tests/test_b.py'])
  assertComplete(chosen.events, ['tests/test_a.py'])
  assert.deepEqual(statuses(collectFiles(chosen.events).get('tests/test_a.py')), { test_two: 'passed' })

  const none = await runBatch(pytestRunner, { cwd: project.cwd, files: ['tests/test_b.py'], args: ['-k', 'two'] })
  assertComplete(none.events, ['tests/test_b.py'])
  assert.deepEqual([none.exit.code, runErrors(none.events)], [5, []])
})

test('pytestRunner: a process that dies leaves its file unended and keeps what was reported', async () => {
  await using project = await inlineProject({
    'conftest.py': '',
    'test_a.py': 'def test_fine(): pass\n',
    'test_exit.py': 'import os\ndef test_before(): pass\ndef test_dies(): os._exit(0)\n',
    'test_segv.py': 'import os, signal\ndef test_dies(): os.kill(os.getpid(), signal.SIGSEGV)\n',
    'test_import_exit.py': 'import os\nos._exit(0)\n',
    'test_hang.py': 'import time\ndef test_hangs(): time.sleep(1000)\n',
  })
  const exit = await runBatch(pytestRunner, { cwd: project.cwd, files: ['test_a.py', 'test_exit.py'] })
  const files = collectFiles(exit.events)
  assert.equal(files.get('test_a.py')!.ended, true)
  assert.deepEqual(statuses(files.get('test_exit.py')), { test_before: 'passed' })
  assertCrashed(files, 'test_exit.py')

  const segv = await runBatch(pytestRunner, { cwd: project.cwd, files: ['test_segv.py'] })
  assertCrashed(collectFiles(segv.events), 'test_segv.py')
  assert.equal(segv.exit.signal, 'SIGSEGV')

  const loading = await runBatch(pytestRunner, { cwd: project.cwd, files: ['test_a.py', 'test_import_exit.py'] })
  assert.deepEqual(loading.events, [{ type: 'file-start', file: 'test_import_exit.py' }])

  const killed = await runBatch(pytestRunner, {
    cwd: project.cwd,
    files: ['test_hang.py'],
    timeoutMs: 3000,
    hangsFrom: (event) => event.type === 'file-start',
  })
  assert.equal(killed.killed, true)
  assertCrashed(collectFiles(killed.events), 'test_hang.py')
})

test('pytestRunner: huge output is cut, tests may fork, and run pytest themselves', async () => {
  await using project = await inlineProject({
    'conftest.py': 'pytest_plugins = ["pytester"]\n',
    'test_wild.py': `
import os, sys
def test_huge(): print("x" * 5_000_000)
def test_forks():
    pid = os.fork()
    if pid == 0: raise SystemExit(0)
    os.waitpid(pid, 0)
def test_env(): assert "MUSTER_CHANNEL_FD" not in os.environ and "muster" not in os.environ.get("PYTHONPATH", "")
def test_nested(pytester):
    pytester.makepyfile("def test_inner(): pass")
    pytester.runpytest().assert_outcomes(passed=1)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
`,
  })
  const run = await runBatch(pytestRunner, { cwd: project.cwd, args: ['-p', 'no:xdist'] })
  const file = collectFiles(run.events).get('test_wild.py')
  assert.equal(countTests(file!.tests).passed, 4, JSON.stringify(file!.tests.map((one) => one.errors)))
  assert.ok(findTest(file, 'test_huge').output!.length < 70_000)
  assertComplete(run.events, ['test_wild.py'])
})

test('pytestRunner: items of several files in mixed order end each file with its own last item', async () => {
  await using project = await inlineProject({
    'conftest.py': 'def pytest_collection_modifyitems(items): items.sort(key=lambda item: item.name)\n',
    'test_a.py': 'def test_1(): pass\ndef test_3(): pass\n',
    'test_b.py': 'def test_2(): pass\ndef test_4(): assert 0\n',
  })
  const run = await runBatch(pytestRunner, { cwd: project.cwd })
  assert.deepEqual(
    run.events.map((event) =>
      event.type === 'test' ? event.test.name[0] : 'file' in event ? `${event.type} ${event.file}` : event.type,
    ),
    [
      'file-start test_a.py',
      'test_1',
      'file-start test_b.py',
      'test_2',
      'test_3',
      'file-end test_a.py',
      'test_4',
      'file-end test_b.py',
      'end',
    ],
  )
})

test('pytestRunner: what fails outside any file is an error of the run', async () => {
  await using internal = await inlineProject({
    'conftest.py': 'def pytest_runtest_logstart(nodeid): raise RuntimeError("plugin broke")\n',
    'test_a.py': 'def test_1(): pass\n',
  })
  const broken = await runBatch(pytestRunner, { cwd: internal.cwd })
  assert.match(runErrors(broken.events)[0]!.message, /INTERNALERROR.*plugin broke/)
  await using check = await inlineProject({
    'conftest.py': 'def pytest_sessionfinish(session): session.exitstatus = 1\n',
    'test_a.py': 'def test_1(): pass\n',
  })
  const checked = await runBatch(pytestRunner, { cwd: check.cwd })
  assert.match(runErrors(checked.events)[0]!.message, /ended with status 1 although no test failed/)
  assertComplete(checked.events, ['test_a.py'])
})

test('pytestRunner.detect: says what gave it away, or what is missing', async () => {
  await using none = await inlineProject({ 'package.json': '{}', 'index.js': '' })
  assert.equal(await pytestRunner.detect(await readProject(none.cwd)), undefined)
  await using files = await inlineProject({ 'tests/test_a.py': '' })
  const found = await pytestRunner.detect(await readProject(files.cwd))
  assert.deepEqual([found?.strength, found?.reason, found?.problem], ['files', 'tests/test_a.py', undefined])
  await using old = await inlineProject({
    'setup.cfg': '[tool:pytest]\n',
    '.venv/pyvenv.cfg': '',
    '.venv/bin/python': '',
    '.venv/lib/python3.8/site-packages/pytest-6.2.5.dist-info/METADATA': '',
  })
  const tooOld = await pytestRunner.detect(await readProject(old.cwd))
  assert.match(tooOld!.problem!, /pytest 6\.2\.5 \(\.venv\) is too old, 7 or newer is needed/)
})

test('pytest: the listing knows groups of pytest-xdist, from files that mention them and only where it is used', async () => {
  await using project = await inlineProject({
    // Stands for pytest-xdist: the listing looks whether a plugin of this name is there.
    'xdist.py': 'def pytest_addoption(parser):\n  parser.addoption("--numprocesses")\n',
    'pytest.ini': '[pytest]\naddopts = -p xdist\nmarkers = xdist_group: as pytest-xdist has it\npythonpath = .\n',
    'test_a.py': 'import pytest\npytestmark = pytest.mark.xdist_group("db")\ndef test_x(): pass\n',
    'test_b.py':
      'import pytest\nclass TestIt:\n  @pytest.mark.xdist_group(name="mail")\n  def test_x(self): pass\n  @pytest.mark.xdist_group("db")\n  def test_y(self): pass\n',
    'test_broken.py': 'raise SystemError("xdist_group")\n',
    'test_plain.py': 'raise SystemError("is not imported")\n',
  })
  const request = { project: await readProject(project.cwd), signal: AbortSignal.timeout(60_000) }
  const detection = (await pytestRunner.detect(request.project))!
  const listing = await pytestRunner.list({ ...request, detection, paths: [], args: [] })
  assert.deepEqual(listing.files, ['test_a.py', 'test_b.py', 'test_broken.py', 'test_plain.py'])
  assert.deepEqual(listing.groups, { 'test_a.py': ['db'], 'test_b.py': ['db', 'mail'] })
  assert.ok(listing.dependsOn!.includes(`${project.cwd}/test_plain.py`))
  const without = await pytestRunner.list({ ...request, detection, paths: [], args: ['-o', 'addopts='] })
  assert.equal(without.groups, undefined)
  // What is installed says nothing: it has to be switched on.
  const parallel = await pytestRunner.list({ ...request, detection, paths: [], args: ['--numprocesses', '4'] })
  assert.deepEqual([listing.serial, without.serial, parallel.serial], [true, true, false])
})
