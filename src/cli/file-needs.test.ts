import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MusterError } from '../protocol/errors.ts'
import type { FileComments } from '../runners/file-comments.ts'
import type { LockText, Requires } from '../runners/requires.ts'
import { fileNeeds, needsOfSome, type NeedSources } from './file-needs.ts'

const files = ['a/setup.ts', 'gpu/x.ts', 'gpu/y.ts', 'z.ts']
const comments = (given: Record<string, Partial<FileComments>>) =>
  new Map(
    Object.entries(given).map(([file, one]) => [file, { requires: {}, tags: [], dependsOn: [], ...one }] as const),
  )
const of = (given: Partial<NeedSources>) =>
  fileNeeds({
    project: 'p',
    files,
    order: undefined,
    tags: {},
    groups: {},
    comments: comments({}),
    flags: {},
    ...given,
  })

test('fileNeeds: without a word there is no need', () => {
  assert.deepEqual(of({}), { needs: [], kinds: [], dependencies: [], unused: [] })
})

test('fileNeeds: a file may be called as a part of every object is', () => {
  const named = ['constructor', 'toString', '__proto__']
  const rules = [{ tags: 'slow', requires: { cpus: 2 } }]
  assert.deepEqual(of({ files: named, order: { rules }, tags: { toString: ['slow'] } }).kinds, [0, 1, 0])
})

test('fileNeeds: suite, rules, comment and flags add up; files of equal needs share one', () => {
  const found = of({
    order: {
      requires: { cpus: 1 },
      rules: [
        { files: 'gpu/**', requires: { gpus: 1, where: 'os == linux' } },
        { files: '**', tags: 'slow', requires: { cpus: 4 } },
      ],
    },
    tags: { 'gpu/y.ts': ['@slow'] },
    comments: comments({ 'z.ts': { requires: { locks: ['db'] }, tags: ['slow'] } }),
    flags: { where: 'cpus >= 2' },
  })
  assert.deepEqual(found.needs, [
    { cpus: 1, where: 'cpus >= 2' },
    { cpus: 1, gpus: { count: 1 }, where: '(os == linux) and (cpus >= 2)' },
    { cpus: 4, gpus: { count: 1 }, where: '(os == linux) and (cpus >= 2)' },
    { cpus: 4, where: 'cpus >= 2', locks: [{ name: 'db', mode: 'exclusive' }] },
  ])
  assert.deepEqual(found.kinds, [0, 1, 2, 3])
  assert.deepEqual(of({ flags: { cpus: 2 } }).kinds, [0, 0, 0, 0])
})

test('fileNeeds: files of a group of the framework have a need of their own and never run at the same time', () => {
  const { needs, kinds } = of({ groups: { 'gpu/x.ts': ['db'], 'z.ts': ['db'] } })
  assert.deepEqual(kinds, [0, 1, 0, 1])
  assert.deepEqual(needs[1], { cpus: 1, locks: [{ name: 'p together db', mode: 'exclusive' }], affinity: 'db' })
})

test('fileNeeds: files with a lock of their own run one after another also within a process', () => {
  const lock = (...locks: (string | LockText)[]) => ({ requires: { locks } })
  const cpusWith = (file: Requires, flags: Requires = {}, suite: Requires = {}) => {
    const order = { requires: suite, rules: [{ files: 'z.ts', requires: file }] }
    const { needs, kinds } = of({ order, flags })
    return needs[kinds[3]!]?.cpus
  }
  const db = { locks: ['db'] }
  assert.equal(cpusWith(db), 1)
  assert.equal(cpusWith({ locks: [{ name: 'port', max: 2 }] }), 1)
  assert.equal(cpusWith({ locks: [{ name: 'db', mode: 'shared' }] }), undefined, 'readers may meet')
  assert.equal(cpusWith({ together: 'db' }), 1)
  assert.equal(cpusWith({ ...db, cpus: 4 }), 4, 'as it is said')
  assert.equal(cpusWith(db, {}, { cpus: 4 }), 4)
  assert.equal(cpusWith({}, db), undefined, 'of the whole run, against others')
  assert.equal(cpusWith({}, {}, db), undefined)
  assert.equal(cpusWith(db, { locks: [{ name: 'db', mode: 'shared' }] }), undefined, 'the later word counts')
  const commented = { comments: comments({ 'z.ts': lock('db') }) }
  // One CPU that is asked for also lets two processes of a run share a host; serial suites never meet themselves there.
  assert.deepEqual(of({ ...commented, serial: true }).needs[1], { locks: [{ name: 'db', mode: 'exclusive' }] })
  const { needs, kinds } = of(commented)
  assert.deepEqual(needs[kinds[3]!], { cpus: 1, locks: [{ name: 'db', mode: 'exclusive' }] })
})

test('fileNeeds: order by patterns; a file that comes before does not wait for itself', () => {
  const { needs, dependencies } = of({
    order: { rules: [{ files: '**', dependsOn: 'a/*' }] },
    comments: comments({ 'z.ts': { dependsOn: ['gpu/*'] } }),
  })
  assert.deepEqual(needs, [])
  assert.deepEqual(dependencies, [
    { task: 1, after: [0] },
    { task: 2, after: [0] },
    { task: 3, after: [0, 1, 2] },
  ])
})

test('fileNeeds: a circle is refused with its path', () => {
  const circle = () =>
    of({
      order: {
        rules: [
          { files: 'gpu/*', dependsOn: 'z.ts' },
          { files: 'z.ts', dependsOn: 'gpu/x.ts' },
        ],
      },
    })
  assert.throws(circle, (error) => {
    assert.ok(error instanceof MusterError && error.code === 'config_invalid')
    assert.match(error.message, /gpu\/x\.ts -> z\.ts -> gpu\/x\.ts/)
    return true
  })
})

test('needsOfSome: what is left keeps its needs and the order among itself', () => {
  const needs = [{}, { cpus: 2 }]
  const dependencies = [
    { task: 2, after: [0, 1] },
    { task: 3, after: [0] },
    { task: 1, after: [3] },
  ]
  assert.deepEqual(needsOfSome({ needs, kinds: [0, 1, 0, 1], dependencies }, [1, 2, 3]), {
    needs,
    kinds: [1, 0, 1],
    dependencies: [
      { task: 1, after: [0] },
      { task: 0, after: [2] },
    ],
  })
})

test('fileNeeds: rules and comments that match nothing are told of', () => {
  const { unused } = of({
    order: {
      rules: [
        { files: ['gpu/**', 'nope/**'], dependsOn: 'setup/**' },
        { files: '*.tsx', tags: '@slow', requires: { cpus: 4 } },
      ],
    },
    comments: comments({ 'z.ts': { dependsOn: ['a/*.ts'] }, 'gpu/x.ts': { dependsOn: ['b/*', 'c/*'] } }),
  })
  assert.deepEqual(unused, [
    'rules[0]: dependsOn setup/** matches no file',
    "gpu/x.ts: 'muster: after b/* c/*' matches no file",
    'rules[1] is about no file: files *.tsx, tags @slow',
  ])
})

test('fileNeeds: more different needs than a coordinator takes of one run are refused, with what to do', () => {
  const many = Array.from({ length: 1001 }, (_, at) => `t/${at}.ts`)
  const locks = Object.fromEntries(many.map((file) => [file, { requires: { locks: [file] } }]))
  assert.equal(of({ files: many.slice(1), comments: comments(locks) }).needs.length, 1000)
  assert.throws(() => of({ files: many, comments: comments(locks) }), {
    message: 'Cannot take what the files need: expected at most 1000 different needs in one run, found 1001',
    hint: /--shard/,
  })
})
