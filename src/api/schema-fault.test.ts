import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Compile } from 'typebox/compile'
import { SubmitBody } from '../protocol/api.ts'
import { faultWords } from './schema-fault.ts'

const check = Compile(SubmitBody)
const words = (more: object) => faultWords(check.Errors({ framework: 'command', files: ['a'], ...more }), 'body')
const need = (one: object) => words({ needs: [one] })

test('faultWords: what is wrong with a submission, where it stands', () => {
  assert.equal(words({ nonsense: 1 }), '/nonsense: there is no such field')
  assert.equal(faultWords(check.Errors({ framework: 'command' }), 'body'), 'body: expected also files')
  assert.equal(need({ cpus: 0 }), '/needs/0/cpus: must be >= 1')
  assert.equal(need({ resources: { '': 1 } }), '/needs/0/resources: a name in it is empty')
  assert.ok(check.Check({ framework: 'command', files: ['a'], needs: [{ resources: { 'phone slot': 2 } }] }))
  assert.equal(need({ gpu: 1 }), '/needs/0/gpu: there is no such field')
  assert.equal(
    need({ gpus: { count: 1, vendor: 'NVIDIA' } }),
    '/needs/0/gpus/vendor: expected "nvidia" or "amd" or "intel" or "other"',
  )
})

test('faultWords: of several forms, the one that is meant', () => {
  assert.equal(need({ locks: [{ name: 'db', mode: 'counted' }] }), '/needs/0/locks/0: expected also max')
  assert.equal(
    need({ locks: [{ name: 'db', mode: 'share' }] }),
    '/needs/0/locks/0/mode: expected "exclusive" or "shared" or "counted"',
  )
  assert.equal(need({ locks: [{ name: 'db' }] }), '/needs/0/locks/0: expected also mode')
  assert.equal(need({ locks: ['db'] }), '/needs/0/locks/0: must be object')
})
