import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytes, fields, nested, varint } from './wire.ts'

test('numbers of every size come back exactly', () => {
  const numbers = [1, 127, 128, 300, 2 ** 31, 2 ** 32, 2 ** 49, Number.MAX_SAFE_INTEGER, -1, -(2 ** 40)]
  for (const number of numbers) {
    const [field] = [...fields(Buffer.concat(varint(3, number)))]
    assert.equal(field?.no, 3)
    assert.equal(field.number, number)
  }
  const ids = [2n ** 63n - 1n, -(2n ** 63n), 7_587_855_063_713_263_105n]
  for (const id of ids) assert.equal([...fields(Buffer.concat(varint(200, id)))][0]?.big, id)
})

test('a number that a double cannot hold is refused, not rounded', () => {
  const [field] = [...fields(Buffer.concat(varint(1, 2n ** 60n + 1n)))]
  assert.throws(() => field!.number, { name: 'AssertionFailed' })
})

test('known bytes', () => {
  // From the protobuf documentation: field 1 = 150; field 2 = "testing".
  assert.equal(Buffer.concat(varint(1, 150)).toString('hex'), '089601')
  assert.equal(Buffer.concat(bytes(2, 'testing')).toString('hex'), '120774657374696e67')
  assert.equal(Buffer.concat(nested(3, varint(1, 150))).toString('hex'), '1a03089601')
  assert.equal(Buffer.concat([...varint(1, 0), ...bytes(2, ''), ...varint(3, false)]).length, 0)
  assert.equal(Buffer.concat(nested(3, [])).toString('hex'), '1a00')
})

test('fields that nobody knows are passed over', () => {
  const fixed64 = Buffer.from('410102030405060708', 'hex')
  const fixed32 = Buffer.from('4d01020304', 'hex')
  const message = Buffer.concat([fixed64, fixed32, ...bytes(2, 'kept'), ...varint(16, 5)])
  assert.deepEqual(
    [...fields(message)].map((field) => field.no),
    [8, 9, 2, 16],
  )
  assert.equal([...fields(message)][2]?.text, 'kept')
})

test('a message that is cut off is refused', () => {
  const message = Buffer.concat(bytes(2, 'testing'))
  assert.throws(() => [...fields(message.subarray(0, 5))], /ends in the middle/)
})
