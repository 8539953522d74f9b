/**
 * Cuts the text of an expression into tokens. What can't be cut becomes a token of type `bad` that says what was
 * expected there; the parser refuses it when it comes to it, so that the first mistake is the one that is shown.
 */
import { keywords } from './comparison.ts'

/** `text`: of a mark its one spelling (`and` for `&&`), of quoted text what it stands for, of `bad` what was expected. */
export type Token = {
  readonly type: 'word' | 'quoted' | 'mark' | 'end' | 'bad'
  readonly text: string
  readonly at: number
  readonly end: number
}

const blank = /\s+/y
const word = /[\p{L}\p{N}_.+:/@-]+/uy
const mark = /==|!=|<=|>=|&&|\|\||[<>!()[\],]/y
const other: Readonly<Record<string, string>> = { '&&': 'and', '||': 'or', '!': 'not' }
const hints: Readonly<Record<string, string>> = { '=': '`==`', '&': '`&&` or `and`', '|': '`||` or `or`' }

/** The last one is `end` or `bad`. */
export function tokensOf(source: string): readonly Token[] {
  const tokens: Token[] = []
  let at = 0
  do {
    at += lengthAt(blank, source, at)
    tokens.push(tokenAt(source, at))
    at = tokens.at(-1)!.end
  } while (tokens.at(-1)!.type !== 'end' && tokens.at(-1)!.type !== 'bad')
  return tokens
}

function tokenAt(source: string, at: number): Token {
  const code = source.codePointAt(at)
  if (code === undefined) return { type: 'end', text: '', at, end: at }
  const first = String.fromCodePoint(code)
  if (first === "'" || first === '"') return quotedAt(source, at, first)
  const marked = source.slice(at, at + lengthAt(mark, source, at))
  if (marked !== '') return { type: 'mark', text: other[marked] ?? marked, at, end: at + marked.length }
  const text = source.slice(at, at + lengthAt(word, source, at))
  if (text === '') {
    const expected = hints[first] ?? 'a word (in quotes, where it has such characters)'
    return { type: 'bad', text: expected, at, end: at + first.length }
  }
  return { type: keywords.has(text) ? 'mark' : 'word', text, at, end: at + text.length }
}

/** A backslash goes before a quote or a backslash that is meant as such. */
function quotedAt(source: string, at: number, mark: string): Token {
  let text = ''
  for (let end = at + 1; end < source.length; end += 1) {
    if (source[end] === mark) return { type: 'quoted', text, at, end: end + 1 }
    if (source[end] === '\\') {
      end += 1
      const escaped = source[end]
      if (escaped !== undefined && !'\\\'"'.includes(escaped))
        return { type: 'bad', text: 'a quote or another backslash after the backslash', at: end, end: end + 1 }
    }
    text += source[end] ?? ''
  }
  return { type: 'bad', text: `${mark} at the end of the text that begins here`, at, end: source.length }
}

function lengthAt(pattern: RegExp, source: string, at: number): number {
  pattern.lastIndex = at
  return pattern.test(source) ? pattern.lastIndex - at : 0
}
