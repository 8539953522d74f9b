/**
 * The language in which a need says what a worker must be: `os == linux and (gpu.memory >= 24GiB or cpus >= 32)`.
 * docs/reference/expressions.md is its reference.
 *
 * `or` binds weakest, then `and`, then `not`, then the comparisons (comparison.ts). A comparison with an attribute that
 * isn't there is false, and `not` of it is true: there is no third truth value. Text and depth are bounded, and what
 * the parser accepts can be evaluated without further checks.
 */
import { assert } from '../stdx/assert.ts'
import {
  comparisonHolds,
  distanceOf,
  formatComparison,
  foundText,
  isName,
  literalOf,
  type Comparison,
  type Literal,
  type Order,
} from './comparison.ts'
import type { AttributeValue } from './entities.ts'
import { tokensOf, type Token } from './expression-tokens.ts'

export type Expression =
  /** At least two parts, none of the same type as the whole. */
  | { readonly type: 'and'; readonly parts: readonly Expression[] }
  | { readonly type: 'or'; readonly parts: readonly Expression[] }
  | { readonly type: 'not'; readonly part: Expression }
  | Comparison

export type Attribute = (name: string) => AttributeValue | undefined

/** A comparison that would have to turn out otherwise. */
export type Miss = {
  readonly text: string
  /** What the attribute is; absent when it isn't there. */
  readonly found: string | undefined
  /** Between numbers: 0 to 1, as a part of the larger of both. */
  readonly distance?: number
}

export const expressionLengthMax = 4096
export const expressionDepthMax = 64
const shownMax = 60
const operators: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>='])

export class ExpressionError extends Error {
  override readonly name = 'ExpressionError'
  readonly text: string
  /** Offset of the character at which it can't be read. */
  readonly at: number

  constructor(expected: string, came: string, text: string, at: number) {
    super(`Cannot read the expression: expected ${expected}, got ${came}\n${pointAt(text, at)}`)
    this.text = text
    this.at = at
  }
}

/** The line of the character, or what is around it, with a caret below. */
function pointAt(text: string, at: number): string {
  const lineStart = text.lastIndexOf('\n', at - 1) + 1
  const lineEnd = text.indexOf('\n', at)
  const start = Math.max(lineStart, at - shownMax)
  const end = Math.min(lineEnd < 0 ? text.length : lineEnd, at + shownMax)
  const printable = (from: number, to: number) => text.slice(from, to).replaceAll(/[\p{C}\s]/gu, ' ')
  const before = `${start > lineStart ? '…' : ''}${printable(start, at)}`
  return `  ${before}${printable(at, end)}\n  ${' '.repeat(columnsOf(before))}^`
}

/** Scripts and emoji that a terminal shows two columns wide, and marks that take none. What measures all of it exactly is no part of the core. */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/gu
const marks = /[\p{Mn}\p{Me}]/gu

function columnsOf(text: string): number {
  return text.replaceAll(marks, '').replaceAll(wide, '  ').replaceAll(/./gu, ' ').length
}

/** Throws an ExpressionError. */
export function parseExpression(text: string): Expression {
  if (text.length > expressionLengthMax) {
    const came = `${text.length} characters`
    throw new ExpressionError(`at most ${expressionLengthMax} characters`, came, text, expressionLengthMax)
  }
  const source: Source = { text, tokens: tokensOf(text), next: 0, depth: 0 }
  const expression = parseJoined(source, 'or')
  if (peek(source).type === 'end') return expression
  const open = expression.type === 'there' && source.next === 1 ? 'a comparison such as `==`, ' : ''
  return refuse(source, `${open}\`and\`, \`or\` or the end`)
}

type Source = { readonly text: string; readonly tokens: readonly Token[]; next: number; depth: number }

/** Parts of the same type are taken apart: `a and (b and c)` is `a and b and c`. */
function parseJoined(source: Source, type: 'and' | 'or'): Expression {
  const parts: Expression[] = []
  do {
    const part = type === 'or' ? parseJoined(source, 'and') : parseNot(source)
    if (part.type === type) parts.push(...part.parts)
    else parts.push(part)
  } while (take(source, type))
  return parts.length === 1 ? parts[0]! : { type, parts }
}

function parseNot(source: Source): Expression {
  const negated = take(source, 'not')
  if (!negated && !take(source, '(')) return parseComparison(source)
  source.depth += 1
  if (source.depth > expressionDepthMax) {
    source.next -= 1
    refuse(source, `at most ${expressionDepthMax} parentheses and \`not\` within each other`)
  }
  const part = negated ? parseNot(source) : parseJoined(source, 'or')
  if (!negated) expect(source, ')', '`and`, `or` or `)`')
  source.depth -= 1
  return negated ? { type: 'not', part } : part
}

function parseComparison(source: Source): Comparison {
  const token = peek(source)
  const named = token.type === 'word' ? isName(token.text) : token.type === 'quoted' && token.text !== ''
  if (!named) refuse(source, "an attribute's name, `not` or `(`")
  source.next += 1
  const attribute = token.text
  const operator = peek(source)
  if (operator.type !== 'mark') return { type: 'there', attribute }
  if (take(source, 'in')) return { type: 'one-of', attribute, operator: 'in', values: parseList(source) }
  if (take(source, 'not')) {
    expect(source, 'in', '`in` (`not` before the attribute negates the whole comparison)')
    return { type: 'one-of', attribute, operator: 'not in', values: parseList(source) }
  }
  if (take(source, 'has')) return { type: 'compare', attribute, operator: 'has', value: parseLiteral(source) }
  if (take(source, 'matches')) return { type: 'matches', attribute, glob: parseGlob(source) }
  if (!operators.has(operator.text)) return { type: 'there', attribute }
  source.next += 1
  const compared = operator.text as '==' | '!=' | Order
  const value = parseLiteral(source)
  if (compared !== '==' && compared !== '!=' && (value.type === 'text' || value.type === 'boolean')) {
    source.next -= 1
    refuse(source, `a number, a size or a version, without quotes, after \`${compared}\``)
  }
  return { type: 'compare', attribute, operator: compared, value }
}

function parseList(source: Source): readonly Literal[] {
  expect(source, '[', '`[`')
  const values: Literal[] = []
  do values.push(parseLiteral(source))
  while (take(source, ','))
  expect(source, ']', '`,` or `]`')
  return values
}

function parseLiteral(source: Source): Literal {
  const token = peek(source)
  if (token.type !== 'word' && token.type !== 'quoted')
    refuse(source, keywordOf(token) ? 'a value (in quotes, where such a word is meant as text)' : 'a value')
  const literal: Literal | undefined =
    token.type === 'quoted' ? { type: 'text', text: token.text } : literalOf(token.text)
  if (!literal) return refuse(source, 'a number below 2^53 (in quotes, where it is meant as text)')
  source.next += 1
  return literal
}

function parseGlob(source: Source): string {
  const token = peek(source)
  if (token.type !== 'word' && token.type !== 'quoted') refuse(source, 'text in quotes, with `*` and `?`')
  source.next += 1
  return token.text
}

function keywordOf(token: Token): boolean {
  return token.type === 'mark' && /^[a-z]+$/.test(token.text)
}

/** The tokens end with one that nothing takes. */
function peek(source: Source): Token {
  const token = source.tokens[source.next]
  assert(token !== undefined, 'the parser went past the end of the expression')
  return token
}

function take(source: Source, mark: string): boolean {
  const { type, text } = peek(source)
  if (type !== 'mark' || text !== mark) return false
  source.next += 1
  return true
}

function expect(source: Source, mark: string, expected: string): void {
  if (!take(source, mark)) refuse(source, expected)
}

function refuse(source: Source, expected: string): never {
  const token = peek(source)
  const came = token.type === 'end' ? 'the end' : `\`${shown(source.text.slice(token.at, token.end))}\``
  throw new ExpressionError(token.type === 'bad' ? token.text : expected, came, source.text, token.at)
}

function shown(text: string): string {
  const short = text.length > shownMax ? `${text.slice(0, shownMax)}…` : text
  return short.replaceAll(/\p{C}/gu, ' ')
}

export function holds(expression: Expression, attribute: Attribute): boolean {
  if (expression.type === 'and') return expression.parts.every((part) => holds(part, attribute))
  if (expression.type === 'or') return expression.parts.some((part) => holds(part, attribute))
  if (expression.type === 'not') return !holds(expression.part, attribute)
  return comparisonHolds(expression, attribute(expression.attribute))
}

/**
 * The fewest comparisons that would have to turn out otherwise for it to hold; of two ways with as few, the one whose
 * numbers are nearer. One that stands in several places is named once, but counts for each. None when it holds.
 */
export function misses(expression: Expression, attribute: Attribute): readonly Miss[] {
  const byText = new Map<string, Miss>()
  for (const miss of missesUntil(expression, true, attribute)) if (!byText.has(miss.text)) byText.set(miss.text, miss)
  return [...byText.values()]
}

function missesUntil(expression: Expression, wanted: boolean, attribute: Attribute): readonly Miss[] {
  if (expression.type === 'not') return missesUntil(expression.part, !wanted, attribute)
  if (expression.type === 'and' || expression.type === 'or') {
    const ways = expression.parts.map((part) => missesUntil(part, wanted, attribute))
    // To be true an `and` needs all of its parts and an `or` one; to be false it is the other way round.
    return (expression.type === 'and') === wanted ? ways.flat() : ways.reduce(nearer)
  }
  const value = attribute(expression.attribute)
  if (comparisonHolds(expression, value) === wanted) return []
  const text = formatExpression(wanted ? expression : { type: 'not', part: expression })
  const distance = distanceOf(expression, value)
  const found = value === undefined ? undefined : foundText(expression, value)
  return [distance === undefined ? { text, found } : { text, found, distance }]
}

function nearer(one: readonly Miss[], other: readonly Miss[]): readonly Miss[] {
  return (other.length - one.length || distanceSum(other) - distanceSum(one)) < 0 ? other : one
}

/** What has no distance is as far as can be. */
function distanceSum(list: readonly Miss[]): number {
  return list.reduce((sum, { distance = 1 }) => sum + distance, 0)
}

/** Each once, in the order in which they are first mentioned. */
export function attributesIn(expression: Expression): readonly string[] {
  const names = new Set<string>()
  const collect = (part: Expression): void => {
    if (part.type === 'and' || part.type === 'or') part.parts.forEach(collect)
    else if (part.type === 'not') collect(part.part)
    else names.add(part.attribute)
  }
  collect(expression)
  return [...names]
}

/**
 * Text that is parsed to the same again: one spelling of each operator, parentheses only where they are needed. It may
 * be longer than what it was parsed from (`and` for `&&`), so what is submitted and kept is the text as it was written.
 */
export function formatExpression(expression: Expression): string {
  if (expression.type === 'not') return `not ${formatPart(expression.part, 'not')}`
  if (expression.type !== 'and' && expression.type !== 'or') return formatComparison(expression)
  return expression.parts.map((part) => formatPart(part, expression.type)).join(` ${expression.type} `)
}

function formatPart(part: Expression, within: 'and' | 'or' | 'not'): string {
  const loose = part.type === 'or' ? within !== 'or' : part.type === 'and' && within === 'not'
  return loose ? `(${formatExpression(part)})` : formatExpression(part)
}
