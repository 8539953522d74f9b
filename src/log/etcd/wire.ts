/**
 * As much of the protobuf encoding as etcd's messages need: variable-length integers and
 * length-delimited fields. By hand, because the few messages are small and because a general codec has
 * hurt: 64-bit ids that lose their last digits, and enum names that aren't known and become 0.
 * A number is asked for as `number` where it is a count or a revision (checked to be exact) and as `big`
 * where it is an id.
 */
import { assert } from '../../stdx/assert.ts'

/** A field that is 0, '' or false is left out, which is what its absence means. */
export function varint(field: number, value: number | bigint | boolean): Buffer[] {
  if (value === 0 || value === 0n || value === false) return []
  return [tag(field, 0), encodeVarint(value === true ? 1 : value)]
}

export function bytes(field: number, value: Uint8Array | string): Buffer[] {
  const content = typeof value === 'string' ? Buffer.from(value) : asBuffer(value)
  return content.length === 0 ? [] : present(field, content)
}

/** A message in a message; there even when it is empty. */
export function nested(field: number, parts: readonly Buffer[]): Buffer[] {
  return present(field, Buffer.concat(parts))
}

function present(field: number, content: Buffer): Buffer[] {
  return [tag(field, 2), encodeVarint(content.length), content]
}

export function asBuffer(value: Uint8Array): Buffer {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

function tag(field: number, wireType: number): Buffer {
  return encodeVarint(field * 8 + wireType)
}

function encodeVarint(value: number | bigint): Buffer {
  const octets: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  while (rest > 0x7fn) {
    octets.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  octets.push(Number(rest))
  return Buffer.from(octets)
}

export class Field {
  readonly no: number
  readonly #wireType: number
  readonly #content: Buffer

  constructor(no: number, wireType: number, content: Buffer) {
    this.no = no
    this.#wireType = wireType
    this.#content = content
  }

  get big(): bigint {
    assert(this.#wireType === 0, `protobuf field ${this.no}: expected a number, received wire type ${this.#wireType}`)
    let value = 0n
    for (let i = this.#content.length - 1; i >= 0; i -= 1) value = (value << 7n) | BigInt(this.#content[i]! & 0x7f)
    return BigInt.asIntN(64, value)
  }

  get number(): number {
    const value = Number(this.big)
    assert(Number.isSafeInteger(value), `protobuf field ${this.no}: ${this.big} is too large for a number`)
    return value
  }

  get boolean(): boolean {
    return this.big !== 0n
  }

  get bytes(): Buffer {
    assert(this.#wireType === 2, `protobuf field ${this.no}: expected bytes, received wire type ${this.#wireType}`)
    return this.#content
  }

  get text(): string {
    return this.bytes.toString('utf8')
  }
}

/** The fields of a message in the order in which they come. Those that nobody asks for are passed over. */
export function* fields(message: Buffer): Generator<Field> {
  let at = 0
  const skipVarint = (): number => {
    const from = at
    while (at < message.length && message[at]! >= 0x80) at += 1
    at += 1
    return from
  }
  const smallVarint = (): number => {
    let value = 0
    for (let i = skipVarint(), factor = 1; i < at; i += 1, factor *= 128) value += (message[i]! & 0x7f) * factor
    return value
  }
  while (at < message.length) {
    const key = smallVarint()
    const [no, wireType] = [Math.floor(key / 8), key % 8]
    let from = at
    if (wireType === 0) from = skipVarint()
    else if (wireType === 2) {
      const length = smallVarint()
      from = at
      at += length
    } else if (wireType === 1) at += 8
    else if (wireType === 5) at += 4
    else throw new Error(`Cannot read a message of etcd: unknown wire type ${wireType}`)
    if (at > message.length) throw new Error('Cannot read a message of etcd: it ends in the middle of a field')
    yield new Field(no, wireType, message.subarray(from, at))
  }
}
