/** The alert rules: Prometheus takes them, each fires when it should, asks for metrics that exist, and has a section in the runbook. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { before, test } from 'node:test'
import { promisify } from 'node:util'

const root = path.join(import.meta.dirname, '..', '..')
const rulesFile = path.join(root, 'deploy', 'prometheus', 'alerts.yml')
const run = promisify(execFile)

let promtool: string
let rules: string
before(async () => {
  promtool = (await run(path.join(root, 'scripts', 'get-promtool.sh'))).stdout.trim()
  rules = await readFile(rulesFile, 'utf8')
})

const alertsOf = (text: string): string[] => [...text.matchAll(/^ +- alert: (\w+)$/gm)].map((match) => match[1]!)

test('alerts: promtool takes the rules and the scrape configuration', async () => {
  await run(promtool, ['check', 'rules', rulesFile])
  await run(promtool, ['check', 'config', '--syntax-only', path.join(path.dirname(rulesFile), 'prometheus.yml')])
})

test('alerts: each fires when it should, and none while all is well', async () => {
  const tests = await readFile(rulesFile.replace('.yml', '.test.yml'), 'utf8')
  const tested = new Set([...tests.matchAll(/^ +- name: (\w+)$/gm)].map((match) => match[1]!))
  for (const alert of alertsOf(rules)) assert.ok(tested.has(alert), `${alert} has a test`)
  await run(promtool, ['test', 'rules', rulesFile.replace('.yml', '.test.yml')])
})

test('alerts: each has a section in the runbook, which has no others', async () => {
  const runbook = await readFile(path.join(root, 'docs', 'guides', 'runbook.md'), 'utf8')
  const sections = [...runbook.matchAll(/^### (\w+)$/gm)].map((match) => match[1]!)
  assert.deepEqual(sections, alertsOf(rules))
  for (const alert of sections) {
    assert.ok(rules.includes(`runbook: docs/guides/runbook.md#${alert.toLowerCase()}`), alert)
    const text = runbook.slice(runbook.indexOf(`### ${alert}\n`)).split(/\n##/)[0]!
    for (const part of ['Means', 'See', 'Do']) assert.ok(text.includes(`**${part}.**`), `${alert}: ${part}`)
  }
})

test('alerts: every metric that is asked for exists', async () => {
  const reference = await readFile(path.join(root, 'docs', 'reference', 'metrics.md'), 'utf8')
  const known = new Set([...reference.matchAll(/^\| `(muster_\w+)` \|/gm)].map((match) => match[1]!))
  const asked = [...rules.matchAll(/\bmuster_\w+/g)].map(([name]) => name)
  assert.ok(asked.length > 20)
  for (const name of asked) {
    assert.ok(known.has(name) || known.has(name.replace(/_(bucket|count|sum)$/, '')), name)
  }
})
