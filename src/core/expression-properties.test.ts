/** What holds for every expression, and for every text that is none. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Comparison, Literal } from './comparison.ts'
import type { AttributeValue } from './entities.ts'
import { ExpressionError, formatExpression, holds, misses, parseExpression, type Expression } from './expression.ts'

const orders = ['<', '<=', '>', '>='] as const
type Operator = '==' | '!=' | (typeof orders)[number]

const text = fc.oneof(fc.constantFrom('linux', 'and', 'true', '20', 'a b', '24GiB'), fc.string({ unit: 'binary' }))
const name = fc.oneof(fc.constantFrom('os', 'gpu.memory', 'in', '5', 'v8'), fc.string({ unit: 'binary', minLength: 1 }))
const ordered: fc.Arbitrary<Literal> = fc.oneof(
  fc.tuple(fc.integer(), fc.constantFrom('', '.0', '.50')).map(([whole, part]) => {
    return { type: 'number' as const, value: Number(`${whole}${part}`), text: `${whole}${part}` }
  }),
  fc.maxSafeNat().map((bytes) => ({ type: 'size' as const, bytes })),
  fc.constantFrom('v20', '1.2.3', '3.14.0rc1', '1.0-rc.1', '1-2', '1+x').map((version) => {
    return { type: 'version' as const, text: version }
  }),
)
const literal: fc.Arbitrary<Literal> = fc.oneof(
  ordered,
  fc.boolean().map((value) => ({ type: 'boolean' as const, value })),
  text.map((one) => ({ type: 'text' as const, text: one })),
)
const plainObjects = { noNullPrototype: true }
const comparison: fc.Arbitrary<Comparison> = fc.oneof(
  fc.record({ type: fc.constant('there'), attribute: name }, plainObjects),
  fc.record(
    { type: fc.constant('compare'), attribute: name, operator: fc.constantFrom('==', '!=', 'has'), value: literal },
    plainObjects,
  ),
  fc.record(
    { type: fc.constant('compare'), attribute: name, operator: fc.constantFrom(...orders), value: ordered },
    plainObjects,
  ),
  fc.record(
    {
      type: fc.constant('one-of'),
      attribute: name,
      operator: fc.constantFrom('in', 'not in'),
      values: fc.array(literal, { minLength: 1, maxLength: 4 }),
    },
    plainObjects,
  ),
  fc.record({ type: fc.constant('matches'), attribute: name, glob: text }, plainObjects),
)
const value: fc.Arbitrary<AttributeValue | undefined> = fc.oneof(
  fc.constant(undefined),
  text,
  fc.integer(),
  fc.boolean(),
  fc.array(text, { maxLength: 3 }),
)

/** As the parser makes it: no `and` directly in an `and`. */
function join(type: 'and' | 'or', parts: readonly Expression[]): Expression {
  const flat = parts.flatMap((part) => (part.type === type ? part.parts : [part]))
  return flat.length === 1 ? flat[0]! : { type, parts: flat }
}

function expressionOf(leaf: fc.Arbitrary<Comparison>, depthMax = 4): fc.Arbitrary<Expression> {
  return fc.letrec<{ all: Expression }>((tie) => ({
    all: fc.oneof(
      { maxDepth: depthMax, depthSize: 'max' },
      { arbitrary: leaf, weight: 1 },
      { arbitrary: tie('all').map((part) => ({ type: 'not', part }) as const), weight: 1 },
      {
        arbitrary: fc
          .tuple(fc.constantFrom('and', 'or'), fc.array(tie('all'), { minLength: 2, maxLength: 3 }))
          .map(([type, parts]) => join(type, parts)),
        weight: 2,
      },
    ),
  })).all
}

/** Numbers only, so that what it means is plain. */
const plainLeaf = fc
  .tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.constantFrom<Operator>('==', '!=', ...orders), fc.nat(3))
  .map(([attribute, operator, wanted]): Comparison => {
    return { type: 'compare', attribute, operator, value: { type: 'number', value: wanted, text: `${wanted}` } }
  })

function evaluate(expression: Expression, leaf: (comparison: Comparison) => boolean): boolean {
  if (expression.type === 'not') return !evaluate(expression.part, leaf)
  if (expression.type !== 'and' && expression.type !== 'or') return leaf(expression)
  const parts = expression.parts.map((part) => evaluate(part, leaf))
  return expression.type === 'and' ? !parts.includes(false) : parts.includes(true)
}

function naively(comparison: Comparison, found: AttributeValue | undefined): boolean {
  assert.ok(comparison.type === 'compare' && comparison.value.type === 'number')
  if (found === undefined) return false
  const wanted = comparison.value.value
  switch (comparison.operator) {
    case '==':
    case 'has':
      return found === wanted
    case '!=':
      return found !== wanted
    case '<':
      return (found as number) < wanted
    case '<=':
      return (found as number) <= wanted
    case '>':
      return (found as number) > wanted
    case '>=':
      return (found as number) >= wanted
  }
}

/** Every comparison gets an attribute of its own. */
function apart(expression: Expression, count = { leaves: 0 }): Expression {
  if (expression.type === 'not') return { type: 'not', part: apart(expression.part, count) }
  if (expression.type === 'and' || expression.type === 'or')
    return { type: expression.type, parts: expression.parts.map((part) => apart(part, count)) }
  count.leaves += 1
  return { ...expression, attribute: `x${count.leaves}` }
}

function leavesOf(expression: Expression): readonly Comparison[] {
  if (expression.type === 'not') return leavesOf(expression.part)
  if (expression.type === 'and' || expression.type === 'or') return expression.parts.flatMap(leavesOf)
  return [expression]
}

const plainValues = fc.array(fc.option(fc.nat(3), { nil: undefined }), { minLength: 4, maxLength: 4 })

test('formatExpression: its text is parsed to the same expression', () => {
  fc.assert(
    fc.property(expressionOf(comparison), (expression) => {
      const formatted = formatExpression(expression)
      fc.pre(formatted.length <= 4096)
      assert.deepEqual(parseExpression(formatted), expression)
      assert.equal(formatExpression(parseExpression(formatted)), formatted)
    }),
    { numRuns: 1000 },
  )
})

test('holds: as a naive evaluation says', () => {
  fc.assert(
    fc.property(expressionOf(plainLeaf), plainValues, (expression, values) => {
      const attribute = (one: string) => values['abcd'.indexOf(one)]
      const expected = evaluate(expression, (leaf) => naively(leaf, attribute(leaf.attribute)))
      assert.equal(holds(expression, attribute), expected)
    }),
    { numRuns: 1000 },
  )
})

test('misses: none exactly when it holds, and never more often asked than there are comparisons', () => {
  fc.assert(
    fc.property(expressionOf(comparison), fc.array(value, { minLength: 1 }), (expression, values) => {
      let asked = 0
      const attribute = (one: string) => {
        asked += 1
        return values[one.length % values.length]
      }
      const missed = misses(expression, attribute)
      assert.ok(asked <= leavesOf(expression).length)
      assert.equal(missed.length === 0, holds(expression, attribute))
      for (const { distance } of missed) assert.ok(distance === undefined || (distance >= 0 && distance <= 1))
    }),
    { numRuns: 1000 },
  )
})

test('misses: if they turned out otherwise it would hold, and no fewer would do', () => {
  fc.assert(
    fc.property(
      expressionOf(plainLeaf).map((one) => apart(one)),
      plainValues,
      (expression, values) => {
        const leaves = leavesOf(expression)
        fc.pre(leaves.length <= 10)
        const attribute = (one: string) => values[Number(one.slice(1)) % values.length]
        const missed = new Set(misses(expression, attribute).map((miss) => miss.text))
        const turned = (flip: (leaf: Comparison) => boolean) =>
          evaluate(expression, (leaf) => holds(leaf, attribute) !== flip(leaf))
        assert.ok(
          turned(
            (leaf) => missed.has(formatExpression(leaf)) || missed.has(formatExpression({ type: 'not', part: leaf })),
          ),
        )
        for (let set = 0; set < 2 ** leaves.length; set += 1) {
          const flipped = new Set(leaves.filter((_, n) => (set >> n) % 2 === 1))
          if (flipped.size < missed.size) assert.ok(!turned((leaf) => flipped.has(leaf)))
        }
      },
    ),
  )
})

const marks = ['(', ')', '[', ']', ',', '==', '=', '>=', '<', 'in', 'not', 'and', '&&', '|', '!', 'has', 'matches']
const words = ['os', "'", '"', '\\', '24GiB', 'v1', '5', 'true', ' ', '\n', '\u0000', '\ud800', '🦊', '*']
const pieces = fc.oneof(fc.constantFrom(...marks), fc.constantFrom(...words))

test('parseExpression: of any text whatever, an expression or an ExpressionError that points into it', () => {
  const garbage = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(pieces, { maxLength: 200 }).map((parts) => parts.join('')),
    fc.array(pieces, { maxLength: 30 }).map((parts) => parts.join(' ')),
  )
  fc.assert(
    fc.property(garbage, value, (source, found) => {
      try {
        const expression = parseExpression(source)
        assert.equal(
          holds(expression, () => found),
          misses(expression, () => found).length === 0,
        )
        formatExpression(expression)
      } catch (error) {
        if (!(error instanceof ExpressionError)) throw error
        assert.ok(error.at >= 0 && error.at <= source.length)
        assert.ok(error.message.length < 600)
      }
    }),
    { numRuns: 3000 },
  )
})

test('parseExpression: the time for the longest texts is in proportion to their length', () => {
  const units = [
    '(',
    'not ',
    '!',
    'a or ',
    'a and(',
    'a in [',
    '[',
    "'",
    '\\',
    '1',
    '1.',
    '1-',
    'a',
    ' ',
    'a==1,',
    '🦊',
  ]
  const startedUs = process.cpuUsage().user
  for (let turn = 0; turn < 20; turn += 1)
    for (const unit of units) {
      const source = `a or ${unit.repeat(4096 / unit.length)}`.slice(0, 4096)
      try {
        parseExpression(source)
      } catch (error) {
        assert.ok(error instanceof ExpressionError)
      }
    }
  assert.throws(() => parseExpression("'".repeat(50_000_000)), ExpressionError)
  // About 0.1 s. If each looked at all that is before it, it would be 5 billion looks.
  assert.ok(process.cpuUsage().user - startedUs < 3_000_000)
})

test('misses: the time for the longest and deepest expression is in proportion to its length', () => {
  const startedUs = process.cpuUsage().user
  const shapes = [
    `${'(a or not(b and '.repeat(21)}c${'))'.repeat(21)}`,
    Array.from({ length: 300 }, (_, n) => `a${n} == b`).join(' and '),
    `a in [${'b,'.repeat(2000)}b]`,
    `a matches '${'*b'.repeat(2000)}'`,
  ]
  for (const shape of shapes)
    for (let turn = 0; turn < 20; turn += 1) {
      const expression = parseExpression(shape)
      misses(expression, () => 'b'.repeat(1000))
    }
  assert.ok(process.cpuUsage().user - startedUs < 3_000_000)
})
