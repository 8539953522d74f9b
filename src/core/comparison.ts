/**
 * One comparison of an expression: whether an attribute's value satisfies it, how far it is from doing so, its text.
 *
 * What stands on the right says what is compared: a number, a size, a version, true or false, or text. A worker's
 * attribute that is text (labels always are) is read as the same kind, and is simply different if it can't be. A list
 * satisfies what one of its elements satisfies. What isn't there satisfies nothing, not even `!=`.
 */
import { bytesText, formatBytes, parseBytes } from '../stdx/bytes.ts'
import type { AttributeValue } from './entities.ts'
import { isVersion, versionOrder } from './version-order.ts'

/** A number keeps its text: beside a version 20.10 is not 20.1. */
export type Literal =
  | { readonly type: 'number'; readonly value: number; readonly text: string }
  | { readonly type: 'size'; readonly bytes: number }
  | { readonly type: 'version'; readonly text: string }
  | { readonly type: 'boolean'; readonly value: boolean }
  | { readonly type: 'text'; readonly text: string }

export type Order = '<' | '<=' | '>' | '>='

export type Comparison =
  | { readonly type: 'there'; readonly attribute: string }
  | {
      readonly type: 'compare'
      readonly attribute: string
      readonly operator: '==' | '!=' | 'has' | Order
      readonly value: Literal
    }
  | {
      readonly type: 'one-of'
      readonly attribute: string
      readonly operator: 'in' | 'not in'
      readonly values: readonly Literal[]
    }
  | { readonly type: 'matches'; readonly attribute: string; readonly glob: string }

type Single = string | number | boolean

export const keywords: ReadonlySet<string> = new Set(['and', 'or', 'not', 'in', 'has', 'matches'])
const plainWord = /^[\p{L}\p{N}_.+:/@-]+$/u
const foundMax = 8

/** What a word without quotes stands for; undefined: a number that is too large to be exact. */
export function literalOf(word: string): Literal | undefined {
  if (word === 'true' || word === 'false') return { type: 'boolean', value: word === 'true' }
  if (/^-?\d+(?:\.\d+)?$/.test(word)) {
    const value = Number(word)
    return Math.abs(value) <= Number.MAX_SAFE_INTEGER ? { type: 'number', value, text: word } : undefined
  }
  if (/^\d+(?:\.\d+)?(?:[kmgtp]i?)?b$/i.test(word)) {
    const bytes = parseBytes(word)
    return bytes === undefined ? undefined : { type: 'size', bytes }
  }
  return { type: isVersion(word) ? 'version' : 'text', text: word }
}

export function comparisonHolds(comparison: Comparison, value: AttributeValue | undefined): boolean {
  if (value === undefined) return false
  const { type } = comparison
  if (type === 'there') return value !== false && value !== 0 && !(typeof value === 'object' && value.length === 0)
  if (type === 'matches') return some(value, (one) => matchesGlob(comparison.glob, String(one)))
  const { operator } = comparison
  if (type === 'one-of') {
    const found = some(value, (one) => comparison.values.some((literal) => equals(one, literal)))
    return found === (operator === 'in')
  }
  const literal = comparison.value
  if (operator === '==' || operator === 'has') return some(value, (one) => equals(one, literal))
  if (operator === '!=') return !some(value, (one) => equals(one, literal))
  return some(value, (one) => isInOrder(orderOf(one, literal), comparison.operator as Order))
}

function some(value: AttributeValue, satisfies: (one: Single) => boolean): boolean {
  return typeof value === 'object' ? value.some(satisfies) : satisfies(value)
}

function isInOrder(order: number | undefined, operator: Order): boolean {
  if (order === undefined) return false
  if (operator === '<') return order < 0
  if (operator === '<=') return order <= 0
  return operator === '>' ? order > 0 : order >= 0
}

function equals(value: Single, literal: Literal): boolean {
  if (literal.type === 'text') return value === literal.text
  if (literal.type === 'boolean') return value === literal.value || value === String(literal.value)
  return orderOf(value, literal) === 0 || (literal.type !== 'size' && value === literal.text)
}

/** Below 0, 0, or above 0; undefined when they are not of one kind. */
function orderOf(value: Single, literal: Literal): number | undefined {
  if (typeof value === 'boolean') return undefined
  if (literal.type === 'number')
    return typeof value === 'number' ? value - literal.value : versionOrder(value, literal.text)
  if (literal.type === 'version') return versionOrder(String(value), literal.text)
  if (literal.type !== 'size') return undefined
  const bytes = typeof value === 'number' ? value : parseBytes(value)
  return bytes === undefined ? undefined : bytes - literal.bytes
}

/** `*` is any text, `?` any one character. Goes back to the newest `*` only, so it costs at most glob × text. */
function matchesGlob(glob: string, text: string): boolean {
  let [at, textAt, star, starText] = [0, 0, -1, 0]
  while (textAt < text.length) {
    if (glob[at] === '*') {
      star = at
      starText = textAt
      at += 1
    } else if (glob[at] === '?' || glob[at] === text[textAt]) {
      at += 1
      textAt += 1
    } else if (star >= 0) {
      at = star + 1
      starText += 1
      textAt = starText
    } else return false
  }
  while (glob[at] === '*') at += 1
  return at === glob.length
}

/** How far a number is from the one that it is compared with, as a part of the larger of both, at most 1. */
export function distanceOf(comparison: Comparison, value: AttributeValue | undefined): number | undefined {
  if (typeof value !== 'number') return undefined
  const distances = literalsOf(comparison).flatMap((literal) => {
    const wanted = literal.type === 'number' ? literal.value : literal.type === 'size' ? literal.bytes : undefined
    if (wanted === undefined) return []
    return [wanted === value ? 0 : Math.min(1, Math.abs(value - wanted) / Math.max(Math.abs(value), Math.abs(wanted)))]
  })
  return distances.length === 0 ? undefined : Math.min(...distances)
}

function literalsOf(comparison: Comparison): readonly Literal[] {
  if (comparison.type === 'one-of') return comparison.values
  return comparison.type === 'compare' ? [comparison.value] : []
}

/** The attribute's value in the words of the comparison: bytes where it is compared with a size. */
export function foundText(comparison: Comparison, value: AttributeValue): string {
  if (typeof value === 'number' && literalsOf(comparison).some(({ type }) => type === 'size')) return formatBytes(value)
  if (typeof value !== 'object') return String(value)
  const more = value.length > foundMax ? `, … ${value.length - foundMax} more` : ''
  return value.length === 0 ? 'none' : `${value.slice(0, foundMax).join(', ')}${more}`
}

export function formatComparison(comparison: Comparison): string {
  const name = formatName(comparison.attribute)
  if (comparison.type === 'there') return name
  if (comparison.type === 'matches') return `${name} matches ${quote(comparison.glob)}`
  if (comparison.type === 'compare') return `${name} ${comparison.operator} ${formatLiteral(comparison.value)}`
  return `${name} ${comparison.operator} [${comparison.values.map(formatLiteral).join(', ')}]`
}

/** Words that mean something else by themselves are put in quotes. */
export function formatName(name: string): string {
  return isName(name) && plainWord.test(name) && !keywords.has(name) ? name : quote(name)
}

/** Whether a word without quotes can be the name of an attribute: it can't be a number, a size, true or false. */
export function isName(word: string): boolean {
  const type = literalOf(word)?.type
  return type === 'text' || type === 'version'
}

function formatLiteral(literal: Literal): string {
  if (literal.type === 'size') return bytesText(literal.bytes)
  if (literal.type === 'boolean') return String(literal.value)
  if (literal.type !== 'text') return literal.text
  const { text } = literal
  return plainWord.test(text) && !keywords.has(text) && literalOf(text)?.type === 'text' ? text : quote(text)
}

export function quote(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`
}
