import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileOfLineFilter, readScriptArgs, splitVitestArgs } from './arguments.ts'

test('splitVitestArgs keeps values with their options', () => {
  assert.deepEqual(
    splitVitestArgs(['-t', 'a name', 'src/a', '--coverage', 'src/b', '--project=x', '-u', 'all', '--', '-odd']),
    {
      options: ['-t', 'a name', '--coverage', '--project=x', '-u', 'all'],
      filters: ['src/a', 'src/b', '-odd'],
    },
  )
})

test('readScriptArgs leaves watching, reporting and coverage to the caller', () => {
  assert.deepEqual(
    readScriptArgs(['run', '--config', 'a.ts', '--coverage', '--reporter', 'dot', 'src', '--no-isolate']),
    {
      options: ['--config', 'a.ts', '--no-isolate'],
      filters: ['src'],
    },
  )
  assert.equal(readScriptArgs(['bench']), undefined)
})

test('fileOfLineFilter sees only a line at the end', () => {
  assert.equal(fileOfLineFilter('src/a.test.ts:12'), 'src/a.test.ts')
  assert.equal(fileOfLineFilter('src/a:b.test.ts'), undefined)
})
