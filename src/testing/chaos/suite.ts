/**
 * The suite that is run again and again: files of node:test whose outcomes are known from their
 * names. Each writes down, in a ledger that all hosts share, when it begins, that it still runs, and when
 * it ends: who executed what, when and for how long is then known from outside of Muster.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Random } from '../sim/random.ts'

const kinds = ['pass', 'slow', 'fail', 'skip', 'crash'] as const
export type Kind = (typeof kinds)[number]

/** Mostly such as pass, and enough slow ones that a fault meets some of them. */
const drawn: readonly Kind[] = ['pass', 'pass', 'pass', 'pass', 'pass', 'slow', 'slow', 'slow', 'fail', 'skip', 'crash']

/** By file. */
export type Suite = ReadonlyMap<string, Kind>

/** What the task of such a file must become. Its own process dies in a crash; what started it reports that. */
export const endOf: Readonly<Record<Kind, 'passed' | 'failed' | 'skipped'>> = {
  pass: 'passed',
  slow: 'passed',
  fail: 'failed',
  skip: 'skipped',
  crash: 'failed',
}

/** A file that runs says so this often. */
export const tickMs = 100

const ledgerModule = (file: string): string => `
import { appendFileSync } from 'node:fs'
const now = () => Number(process.hrtime.bigint() / 1000n) / 1000
const { MUSTER_RUN: run, MUSTER_BATCH: batch, MUSTER_WORKER: worker } = process.env
export function execution(file) {
  const id = process.pid + '.' + now()
  const write = (line) => appendFileSync(${JSON.stringify(file)}, JSON.stringify({ id, atMs: now(), ...line }) + '\\n')
  write({ type: 'begin', file, run, batch, worker, pid: process.pid })
  setInterval(() => write({ type: 'tick' }), ${tickMs}).unref()
  process.on('exit', () => write({ type: 'end' }))
}
`

function body(kind: Kind, name: string, ms: number): string {
  const head = `import test from 'node:test'
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { execution } from './ledger.mjs'
execution('t/${name}')
`
  switch (kind) {
    case 'pass':
    case 'slow':
      return `${head}test('waits', () => delay(${ms}))\ntest('adds up', () => assert.equal(1 + 1, 2))\n`
    case 'fail':
      return `${head}test('waits', () => delay(${ms}))\ntest('does not add up', () => assert.equal(1 + 1, 3))\n`
    case 'skip':
      return `${head}test('is left out', { skip: 'on purpose' }, () => assert.fail())\n`
    case 'crash':
      return `${head}test('dies', async () => {\n  await delay(${ms})\n  process.exit(7)\n})\n`
  }
}

/** Writes the project into the folder. */
export function writeSuite(project: string, ledger: string, files: number, random: Random): Suite {
  const suite = new Map<string, Kind>()
  const texts = new Map<string, string>()
  for (let at = 0; at < files; at += 1) {
    // One of each, then mostly such as pass.
    const kind = kinds[at] ?? random.pick(drawn)
    const name = `${String(at).padStart(2, '0')}-${kind}.test.mjs`
    const ms = kind === 'slow' ? random.int(1500, 6000) : random.int(20, 500)
    suite.set(`t/${name}`, kind)
    texts.set(name, body(kind, name, ms))
  }
  mkdirSync(path.join(project, 't'), { recursive: true })
  const manifest = { name: 'chaos', private: true, type: 'module', scripts: { test: "node --test 't/*.test.mjs'" } }
  writeFileSync(path.join(project, 'package.json'), JSON.stringify(manifest))
  writeFileSync(path.join(project, 't', 'ledger.mjs'), ledgerModule(ledger))
  for (const [name, text] of texts) writeFileSync(path.join(project, 't', name), text)
  return suite
}
