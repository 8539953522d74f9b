/**
 * JUnit XML as Jenkins, GitLab and the readers of Surefire's files take it.
 *
 * - One `testsuite` per file. `classname` is the file and `name` the whole name path, as Vitest's and
 *   Playwright's own writers do: tools group by file, and (classname, name) stays unique and stable.
 * - Retries are Surefire's: a test that passed in the end has `flakyFailure` for each failed try; one
 *   that failed has the first failure as `failure` and each later one as `rerunFailure`. Both the
 *   framework's tries and Muster's attempts are tries.
 * - What concerns a file and not a test (it didn't load, timed out, was lost or cancelled) is a test
 *   case of its own named like the file, with `error` or `skipped`: no file goes missing.
 * - Jenkins keeps one `failure` per test case, so several errors of a try share one element.
 * - The root has no counts: they would have to be known before the first file is written, and every
 *   reader adds up the suites.
 */
import type { RunView } from '../protocol/run-view.ts'
import { errorMessage, errorTrace, errorType } from './error-text.ts'
import { mergedTasks, speaksForItself } from './merge.ts'
import type { MergedTask, MergedTest, MergedTry, Records } from './merge.ts'
import { chunked } from './text-sink.ts'
import type { TextSink } from './text-sink.ts'
import { xmlAttribute, xmlCdata } from './xml-text.ts'

type Counts = { tests: number; failures: number; errors: number; skipped: number }

export async function writeJunit(run: RunView, records: Records, sink: TextSink): Promise<void> {
  const out = chunked(sink)
  const time = run.wallMs === undefined ? undefined : seconds(run.wallMs)
  await out.write(
    `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites${xmlAttribute('name', run.suite)}${xmlAttribute('time', time)}>\n`,
  )
  let errors = ''
  for (const [index, message] of run.errors.entries()) {
    const trouble = [{ type: 'Error', message }]
    errors += `    <testcase${attributes(`error ${index + 1}`, run.suite, 0)}>\n      ${problem('error', trouble)}\n    </testcase>\n`
  }
  if (errors !== '') {
    const count = run.errors.length
    await out.write(
      `  <testsuite${xmlAttribute('name', 'outside any file')} tests="${count}" failures="0" errors="${count}" skipped="0" time="0.000">\n${errors}  </testsuite>\n`,
    )
  }
  for await (const task of mergedTasks(records)) await out.write(suite(task, run.framework === 'command'))
  await out.write('</testsuites>\n')
  await out.flush()
}

/** `fileIsTest`: the framework has no tests within files, so the file is what is counted. */
function suite(task: MergedTask, fileIsTest: boolean): string {
  const counts: Counts = { tests: 0, failures: 0, errors: 0, skipped: 0 }
  const cases = fileCase(task, fileIsTest, counts) + task.tests.map((test) => testCase(test, counts)).join('')
  const timestamp = task.startedAtMs === undefined ? undefined : new Date(task.startedAtMs).toISOString()
  const head = [
    xmlAttribute('name', task.file),
    xmlAttribute('file', task.file),
    ` tests="${counts.tests}" failures="${counts.failures}" errors="${counts.errors}" skipped="${counts.skipped}"`,
    ` time="${seconds(task.durationMs)}"`,
    xmlAttribute('timestamp', timestamp),
    xmlAttribute('hostname', task.workerName),
  ].join('')
  const place =
    task.place === undefined
      ? ''
      : `    <properties>\n      <property name="place"${xmlAttribute('value', task.place)}/>\n    </properties>\n`
  const body = place + cases
  return body === '' ? `  <testsuite${head}/>\n` : `  <testsuite${head}>\n${body}  </testsuite>\n`
}

function fileCase(task: MergedTask, fileIsTest: boolean, counts: Counts): string {
  const { itself, tries, tests } = task
  if (!speaksForItself(task) && !(fileIsTest && tests.length === 0)) return ''
  counts.tests += 1
  const body: string[] = []
  if (itself.status === 'failed') {
    counts.errors += 1
    body.push(problem('error', itself.errors))
  } else if (itself.status === 'skipped') {
    counts.skipped += 1
    body.push(`<skipped${xmlAttribute('message', itself.reason)}/>`)
  }
  const element = itself.status === 'failed' ? 'rerunError' : 'flakyError'
  for (const one of tries) body.push(retry(element, one.errors, undefined))
  return testcase(attributes(task.file, task.file, tests.length === 0 ? task.durationMs : 0, task.file), body)
}

function testCase(test: MergedTest, counts: Counts): string {
  counts.tests += 1
  const body: string[] = []
  const failed = test.tries.filter((one) => one.status === 'failed')
  if (test.status === 'failed') {
    counts.failures += 1
    // The first failure is the failure, what came after are the reruns.
    const [first, ...again] = [
      ...failed,
      { status: test.status, durationMs: test.durationMs, errors: test.errors ?? [] } as MergedTry,
    ]
    body.push(problem('failure', first?.errors ?? []))
    for (const one of again) body.push(retry('rerunFailure', one.errors ?? [], one.output))
  } else {
    for (const one of failed) body.push(retry('flakyFailure', one.errors ?? [], one.output))
    if (test.status !== 'passed') {
      counts.skipped += 1
      const message =
        test.status === 'todo' ? ['todo', test.reason].filter((part) => part !== undefined).join(': ') : test.reason
      body.push(`<skipped${xmlAttribute('message', message)}/>`)
    }
  }
  if (test.output !== undefined && test.output !== '') body.push(`<system-out>${xmlCdata(test.output)}</system-out>`)
  const name = [...(test.project ? [`[${test.project}]`] : []), ...test.name].join(' › ')
  return testcase(attributes(name, test.file, test.durationMs, test.file, test.line), body)
}

function attributes(name: string, classname: string, durationMs: number, file?: string, line?: number): string {
  return [
    xmlAttribute('name', name),
    xmlAttribute('classname', classname),
    xmlAttribute('file', file),
    xmlAttribute('line', line),
    ` time="${seconds(durationMs)}"`,
  ].join('')
}

function testcase(head: string, body: readonly string[]): string {
  if (body.length === 0) return `    <testcase${head}/>\n`
  return `    <testcase${head}>\n${body.map((line) => `      ${line}\n`).join('')}    </testcase>\n`
}

function problem(element: 'failure' | 'error', errors: MergedTask['itself']['errors']): string {
  return `<${element}${xmlAttribute('message', errorMessage(errors))}${xmlAttribute('type', errorType(errors))}>${xmlCdata(errorTrace(errors))}</${element}>`
}

function retry(
  element: 'flakyFailure' | 'flakyError' | 'rerunFailure' | 'rerunError',
  errors: MergedTask['itself']['errors'],
  output: string | undefined,
): string {
  const out = output === undefined || output === '' ? '' : `<system-out>${xmlCdata(output)}</system-out>`
  return `<${element}${xmlAttribute('message', errorMessage(errors))}${xmlAttribute('type', errorType(errors))}><stackTrace>${xmlCdata(errorTrace(errors))}</stackTrace>${out}</${element}>`
}

/** Surefire's schema allows three decimals. */
function seconds(durationMs: number): string {
  return (Math.max(0, durationMs) / 1000).toFixed(3)
}
