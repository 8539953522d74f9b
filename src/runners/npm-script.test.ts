import assert from 'node:assert/strict'
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { findInvocations } from './npm-script.ts'
import type { Invocation } from './npm-script.ts'

function find(scripts: Record<string, string>, cwd = '/'): readonly Invocation[] {
  const project = { cwd, packageJson: { scripts }, entries: new Set<string>(), env: {} }
  return findInvocations(project, (program) => program === 'mocha' || program === '_mocha')
}

const cases: readonly [script: string, args: string[], env?: Record<string, string>, nodeArgs?: string[]][] = [
  ['mocha --require test/env test/ test/acceptance/', ['--require', 'test/env', 'test/', 'test/acceptance/']],
  ["A=1 B='x y' mocha 'test/**/*.js'", ['test/**/*.js'], { A: '1', B: 'x y' }],
  ['eslint . && cross-env NODE_ENV=test nyc --reporter lcov mocha -R dot', ['-R', 'dot'], { NODE_ENV: 'test' }],
  ['npm run lint && npm run unit -- --bail', ['-t', '9s', '--bail']],
  [
    'node --expose-gc -r ts-node/register ./node_modules/.bin/_mocha a',
    ['a'],
    {},
    ['--expose-gc', '-r', 'ts-node/register'],
  ],
  ['run-s lint unit', ['-t', '9s']],
  ['npx mocha', []],
  ['echo "$HOME"; mocha x', ['x']],
]

for (const [script, args, env = {}, nodeArgs = []] of cases) {
  test(`findInvocations: ${script}`, () => {
    const [found] = find({ test: script, lint: 'eslint .', unit: 'mocha -t 9s' })
    assert.deepEqual(found && { args: found.args, env: found.env, nodeArgs: found.nodeArgs }, { args, env, nodeArgs })
  })
}

for (const script of ['mocha $FILES', 'mocha `ls`', 'mocha > out', 'echo mocha', 'grep -r mocha .', 'npm test']) {
  test(`findInvocations gives up: ${script}`, () => assert.deepEqual(find({ test: script }), []))
}

test('findInvocations expands unquoted patterns as sh does', async () => {
  const cwd = await mkdtemp(path.join(tmpdir(), 'muster-script-'))
  try {
    await mkdir(path.join(cwd, 'test/deep/er'), { recursive: true })
    for (const file of ['test/a.js', 'test/deep/b.js', 'test/deep/er/c.js', 'test/.hidden.js'])
      await writeFile(path.join(cwd, file), '')
    assert.deepEqual(find({ test: 'mocha test/*.js test/**/*.js none/*.js' }, cwd)[0]?.args, [
      'test/a.js',
      'test/deep/b.js',
      'none/*.js',
    ])
  } finally {
    await rm(cwd, { recursive: true })
  }
})
