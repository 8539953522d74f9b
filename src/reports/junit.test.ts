import assert from 'node:assert/strict'
import { describe, test as it } from 'node:test'
import { SaxesParser } from 'saxes'
import type { TaskRecord } from '../protocol/run-view.ts'
import { nasty, record, records, run, stream, test, written } from './fixtures/records.ts'
import { writeJunit } from './junit.ts'

type Element = { name: string; attributes: Record<string, string>; children: Element[]; text: string }

/** Read by a parser that refuses what is not well-formed XML 1.0. */
function parse(xml: string): Element {
  const root: Element = { name: '', attributes: {}, children: [], text: '' }
  const open = [root]
  const parser = new SaxesParser({})
  parser.on('error', (error) => {
    throw error
  })
  parser.on('opentag', ({ name, attributes }) => {
    const element = { name, attributes: attributes as Record<string, string>, children: [], text: '' }
    open.at(-1)!.children.push(element)
    open.push(element)
  })
  parser.on('closetag', () => void open.pop())
  const text = (part: string): void => {
    open.at(-1)!.text += part
  }
  parser.on('text', text)
  parser.on('cdata', text)
  parser.write(xml).close()
  return root.children[0]!
}

/**
 * The rules of the schemas in use (Surefire's test report 3.0 and the one that Jenkins' xUnit plugin
 * holds), as far as they agree: which element may be in which, in which order, with which attributes.
 * `file` and `line` are the additions that GitLab, CircleCI and pytest share.
 */
const caseOrder = [
  'failure',
  'rerunFailure',
  'flakyFailure',
  'skipped',
  'error',
  'rerunError',
  'flakyError',
  'system-out',
  'system-err',
]
const time = /^\d+\.\d{3}$/

function checkShape(root: Element): void {
  assert.equal(root.name, 'testsuites')
  only(root, ['name', 'time'])
  for (const suite of root.children) {
    assert.equal(suite.name, 'testsuite')
    only(suite, ['name', 'file', 'tests', 'failures', 'errors', 'skipped', 'time', 'timestamp', 'hostname'])
    assert.ok(suite.attributes['name'])
    assert.match(suite.attributes['time']!, time)
    if (suite.attributes['timestamp']) assert.ok(!Number.isNaN(Date.parse(suite.attributes['timestamp'])))
    const having = (name: string): string =>
      String(suite.children.filter((one) => one.children.some((child) => child.name === name)).length)
    assert.deepEqual(
      {
        tests: suite.attributes['tests'],
        failures: suite.attributes['failures'],
        errors: suite.attributes['errors'],
        skipped: suite.attributes['skipped'],
      },
      {
        tests: String(suite.children.length),
        failures: having('failure'),
        errors: having('error'),
        skipped: having('skipped'),
      },
    )
    for (const one of suite.children) checkCase(one)
  }
}

function checkCase(one: Element): void {
  assert.equal(one.name, 'testcase')
  only(one, ['name', 'classname', 'file', 'line', 'time'])
  assert.ok(one.attributes['name'] && one.attributes['classname'])
  assert.match(one.attributes['time']!, time)
  const places = one.children.map((child) => caseOrder.indexOf(child.name))
  assert.ok(places.every((place) => place >= 0))
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
    'the order of the elements',
  )
  for (const name of ['failure', 'error', 'skipped', 'system-out'])
    assert.ok(one.children.filter((child) => child.name === name).length <= 1, name)
  for (const child of one.children) {
    if (['failure', 'error'].includes(child.name)) {
      only(child, ['message', 'type'])
      assert.ok(child.attributes['type'])
    }
    if (!/^(rerun|flaky)/.test(child.name)) continue
    only(child, ['message', 'type'])
    assert.ok(child.attributes['type'])
    assert.deepEqual(
      child.children.map((inner) => inner.name),
      child.children.length === 2 ? ['stackTrace', 'system-out'] : ['stackTrace'],
    )
  }
}

function only(element: Element, names: string[]): void {
  assert.deepEqual(
    Object.keys(element.attributes).filter((name) => !names.includes(name)),
    [],
    element.name,
  )
}

function suiteOf(root: Element, file: string): Element {
  return root.children.find((suite) => suite.attributes['file'] === file)!
}
const shape = (one: Element): unknown => [
  one.attributes['name'],
  ...one.children.map((child) => `${child.name}: ${child.attributes['message'] ?? child.text}`),
]

describe('writeJunit', () => {
  it('is well formed and follows the rules that readers check', async () => {
    checkShape(parse(await written((sink) => writeJunit(run, records, sink))))
  })

  it('holds every test and every file', async () => {
    const root = parse(await written((sink) => writeJunit(run, stream(records), sink)))
    assert.deepEqual(
      root.children.map((suite) => suite.attributes['name']),
      ['outside any file', ...records.map((one) => one.file)],
    )
    const a = suiteOf(root, 'a.test.ts')
    assert.deepEqual(a.children.slice(0, 6).map(shape), [
      ['math › adds', 'system-out: hello\n'],
      ['math › subtracts', 'failure: expected 1 to be 2 (and 1 more)'],
      ['later', 'skipped: todo'],
      ['not here', 'skipped: only on Windows'],
      ['net › retries', 'flakyFailure: socket hang up'],
      ['net › never', 'failure: socket hang up', 'rerunFailure: expected 1 to be 2'],
    ])
    assert.equal(a.attributes['hostname'], 'name-of-w1')
    assert.equal(a.attributes['timestamp'], '2026-01-02T03:04:05.000Z')
    assert.equal(a.children[0]!.attributes['line'], '7')
    assert.equal(a.children[0]!.attributes['classname'], 'a.test.ts')
    assert.match(
      a.children[1]!.children[0]!.text,
      /AssertionError: expected 1 to be 2\n {4}at a\.test\.ts:3:4\n\nError: socket hang up/,
    )
  })

  it("preserves Muster's own attempts as Surefire's retries, for tests and for files", async () => {
    const root = parse(await written((sink) => writeJunit(run, records, sink)))
    assert.deepEqual(suiteOf(root, 'b.test.ts').children.map(shape), [['x', 'flakyFailure: expected 1 to be 2'], ['y']])
    assert.deepEqual(suiteOf(root, 'crash once.test.ts').children.map(shape), [
      ['crash once.test.ts', 'flakyError: killed by SIGSEGV'],
      ['fine'],
    ])
    const twice = record(0, 'c.test.ts', 'failed', [{ errors: [{ message: 'one' }] }, { errors: [{ message: 'two' }] }])
    const again = parse(await written((sink) => writeJunit({ ...run, errors: [] }, [twice], sink)))
    assert.deepEqual(again.children[0]!.children.map(shape), [['c.test.ts', 'error: two', 'rerunError: one']])
  })

  it('names files that were lost, timed out, cancelled or skipped', async () => {
    const root = parse(await written((sink) => writeJunit(run, records, sink)))
    const only_ = (file: string): unknown => suiteOf(root, file).children.map(shape)
    assert.deepEqual(only_('lost.test.ts'), [['lost.test.ts', 'error: lost: its worker was lost 3 times']])
    assert.deepEqual(only_('slow.test.ts'), [['slow.test.ts', 'error: timed out: longer than 5 m']])
    assert.deepEqual(only_('never.test.ts'), [['never.test.ts', 'skipped: cancelled: Ctrl-C']])
    assert.deepEqual(only_('windows.test.ts'), [['windows.test.ts', 'skipped: no test files']])
    assert.deepEqual(only_('broken.test.ts'), [['broken.test.ts', "error: Cannot find module './x'"]])
    assert.deepEqual(only_('empty.test.ts'), [])
    const commands = parse(await written((sink) => writeJunit({ ...run, framework: 'command' }, records, sink)))
    assert.deepEqual(suiteOf(commands, 'empty.test.ts').children.map(shape), [['empty.test.ts']])
  })

  it('brings through whatever XML can hold and drops the rest', async () => {
    const root = parse(await written((sink) => writeJunit(run, records, sink)))
    const one = suiteOf(root, 'a.test.ts').children[6]!
    const expected = 'red  <b>&"\' ]]> `````\n\tnext 😀 日本'
    assert.equal(one.attributes['name'], `[chromium] › ${expected}`)
    assert.equal(one.children[0]!.text, expected)
    assert.equal(one.children[1]!.text, expected)
  })

  it('writes a large run in pieces', async () => {
    const tests = Array.from({ length: 50 }, (_, at) => test([`test ${at}`], { output: nasty }))
    function* many(): Generator<TaskRecord> {
      for (let at = 0; at < 2000; at += 1) yield record(at, `f${at}.test.ts`, 'passed', [{ tests }])
    }
    let longest = 0
    let cases = 0
    await writeJunit(run, stream(many()), (text) => {
      longest = Math.max(longest, text.length)
      cases += text.split('<testcase').length - 1
    })
    assert.equal(cases, 100_000 + 1)
    assert.ok(longest < 256 * 1024, `${longest}`)
  })
})
