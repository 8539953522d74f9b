import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasSelection, readScriptArgs, splitJestArgs, withoutSelection } from './arguments.ts'

test('splitJestArgs keeps one or many values with their options', () => {
  assert.deepEqual(
    splitJestArgs([
      '-t',
      'a name',
      'src/a',
      '--bail',
      'src/b',
      '--selectProjects',
      'x',
      'y',
      '-i',
      'src/c',
      '--',
      '-odd',
    ]),
    {
      options: ['-t', 'a name', '--bail', '--selectProjects', 'x', 'y', '-i'],
      patterns: ['src/a', 'src/b', 'src/c', '-odd'],
    },
  )
  assert.deepEqual(splitJestArgs(['--bail', '2', '--projects=a', 'b']).options, ['--bail', '2', '--projects=a', 'b'])
})

test('readScriptArgs leaves watching, reporting and coverage to the caller', () => {
  assert.deepEqual(
    readScriptArgs(['--config', 'a.js', '--watchAll=false', '--coverage', '--reporters', 'x', 'y', '--ci', '-u']),
    {
      options: ['--config', 'a.js', '--ci'],
      patterns: [],
    },
  )
})

test('what chooses files is known and can be left out', () => {
  assert.deepEqual(
    withoutSelection(['-o', '--changedSince', 'main', '-t', 'x', '--testPathPatterns', 'a', 'b', '-i']),
    ['-t', 'x', '-i'],
  )
  assert.equal(hasSelection(['--changedSince=main']), true)
  assert.equal(hasSelection(['--testPathPatterns', 'a', '-t', 'x']), false)
})
