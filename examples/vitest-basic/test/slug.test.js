import { expect, test } from 'vitest'
import { slug } from '../src/slug.js'

test.each([
  ['Hello, World', 'hello-world'],
  ['  Crème brûlée  ', 'creme-brulee'],
  ['Zwölf Boxkämpfer', 'zwolf-boxkampfer'],
  ['東京 2026', '東京-2026'],
  ['---', ''],
])('slug(%j) is %j', (text, expected) => {
  expect(slug(text)).toBe(expected)
})
