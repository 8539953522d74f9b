import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { allAttributes, attributesOf, formatAttribute } from './attributes.ts'
import type { Capabilities, Gpu } from './entities.ts'
import { holds, parseExpression } from './expression.ts'

const GiB = 2 ** 30
const plain: Capabilities = {
  os: 'linux',
  arch: 'x64',
  cpus: 8,
  memoryBytes: 32 * GiB,
  host: 'box-1',
  labels: { zone: 'eu', 'a.b c': '1' },
  tools: { node: '26.10.0' },
}
const gpu = (id: string, vendor: Gpu['vendor'], name: string, gib: number): Gpu => {
  return { id, vendor, name, memoryBytes: gib * GiB }
}
const rich: Capabilities = {
  ...plain,
  gpus: [gpu('0', 'nvidia', 'A100', 40), gpu('1', 'nvidia', 'A100', 80), gpu('2', 'amd', 'MI300X', 16)],
  resources: { licence: 3, memory: 5 },
  attributes: { 'cpu.features': ['avx2'], 'cpu.cores': 4, os: 'lies', 'browser.chromium.webgpu': true },
  fingerprint: 'f00',
  speed: 1.5,
}

test('attributesOf: what every worker has', () => {
  const of = attributesOf(plain, 'w-1')
  assert.deepEqual(
    ['os', 'arch', 'cpus', 'memory', 'host', 'name', 'label.zone', 'label.a.b c', 'tool.node', 'gpu.count'].map(of),
    ['linux', 'x64', 8, 32 * GiB, 'box-1', 'w-1', 'eu', '1', '26.10.0', 0],
  )
  for (const absent of ['speed', 'fingerprint', 'gpu.memory', 'gpu.vendor', 'gpu.name', 'resource.x', 'cpu.cores', ''])
    assert.equal(of(absent), undefined, absent)
})

test('attributesOf: cards, resources, and what was detected; a built-in name means the built-in', () => {
  const of = attributesOf(rich, 'w-2')
  assert.equal(of('gpu.count'), 3)
  assert.equal(of('gpu.memory'), 80 * GiB)
  assert.deepEqual(of('gpu.vendor'), ['nvidia', 'amd'])
  assert.deepEqual(of('gpu.name'), ['A100', 'MI300X'])
  assert.equal(of('resource.licence'), 3)
  assert.deepEqual(of('cpu.features'), ['avx2'])
  assert.equal(of('os'), 'linux')
  assert.equal(of('speed'), 1.5)
  assert.ok(holds(parseExpression('gpu.memory > 64GiB and resource.licence >= 2 and browser.chromium.webgpu'), of))
})

test('attributesOf: names that every object has are not there', () => {
  const of = attributesOf(rich, 'w')
  for (const key of ['constructor', '__proto__', 'toString'])
    for (const prefix of ['', 'label.', 'tool.', 'resource.']) assert.equal(of(prefix + key), undefined, prefix + key)
})

test('allAttributes: everything that there is, sorted by name, as attributesOf says it', () => {
  const all = allAttributes(rich, 'w-2')
  const names = [...all.keys()]
  assert.deepEqual(names, names.toSorted())
  assert.deepEqual(
    names.filter((name) => /^(label|tool|resource|browser|cpu)\./.test(name)),
    [
      'browser.chromium.webgpu',
      'cpu.cores',
      'cpu.features',
      'label.a.b c',
      'label.zone',
      'resource.licence',
      'resource.memory',
      'tool.node',
    ],
  )
  const of = attributesOf(rich, 'w-2')
  for (const [name, value] of all) assert.deepEqual(of(name), value)
  assert.equal(allAttributes(plain, 'w').has('gpu.memory'), false)
})

test('formatAttribute: bytes with their unit, lists with commas', () => {
  assert.equal(formatAttribute('memory', 32 * GiB), '32 GiB')
  assert.equal(formatAttribute('gpu.memory', 15.5 * GiB), '15.5 GiB')
  assert.equal(formatAttribute('disk.free', GiB), '1 GiB')
  assert.equal(formatAttribute('memory.limit', 2 * GiB), '2 GiB')
  assert.equal(formatAttribute('label.bytes', 'many'), 'many')
  assert.equal(formatAttribute('tool.memory', '1.2'), '1.2')
  assert.equal(formatAttribute('resource.memory', 5), '5')
  assert.equal(formatAttribute('cpus', 8), '8')
  assert.equal(formatAttribute('cpu.features', ['a', 'b']), 'a, b')
  assert.equal(formatAttribute('container', true), 'true')
})

test('docs/reference/attributes.md: has every built-in attribute', async () => {
  const page = await readFile(new URL('../../docs/reference/attributes.md', import.meta.url), 'utf8')
  for (const name of allAttributes({ ...rich, attributes: {} }, 'w-2').keys()) {
    const documented = name.replace(/^(label|tool|resource)\..*/, '$1.NAME')
    assert.ok(page.includes(`| \`${documented}\` |`), documented)
  }
})
