import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import stringWidth from 'string-width'
import type { AttributeValue } from './entities.ts'
import { attributesIn, ExpressionError, formatExpression, holds, misses, parseExpression } from './expression.ts'

const GiB = 2 ** 30
const worker: Readonly<Record<string, AttributeValue>> = {
  os: 'linux',
  cpus: 8,
  memory: 32 * GiB,
  'gpu.count': 0,
  'gpu.memory': 16 * GiB,
  'gpu.vendor': ['nvidia', 'intel'],
  'gpu.name': ['NVIDIA A100-SXM4-80GB', 'UHD 630'],
  'cpu.features': ['avx', 'avx2', 'sse4_2'],
  'cpu.devices': [],
  container: true,
  numa: false,
  'tool.node': '20.11.1',
  'tool.python3': '3.14.0rc2',
  'os.kernel': '6.8.0-49-generic',
  'browser.chromium.version': '120.0.6099.109',
  'label.zone': 'eu-west-1',
  'label.fast': '',
  'label.shard': '5',
  'label.disk': '500GB',
  'label.gpu': 'true',
  'my label': 'it is "mine"',
}
const attribute = (name: string) => worker[name]

function answers(table: Readonly<Record<string, boolean>>) {
  for (const [text, answer] of Object.entries(table)) {
    const expression = parseExpression(text)
    assert.equal(holds(expression, attribute), answer, text)
    assert.equal(misses(expression, attribute).length === 0, answer, `misses of ${text}`)
  }
}

test('holds: each operator', () => {
  answers({
    'os == linux': true,
    "os == 'linux'": true,
    'os == "darwin"': false,
    'os == Linux': false,
    'os != darwin': true,
    'os != linux': false,
    'cpus == 8': true,
    'cpus == 8.0': true,
    'cpus < 8': false,
    'cpus <= 8': true,
    'cpus > 7.5': true,
    'cpus >= 9': false,
    'cpus > -1': true,
    'os in [darwin, linux]': true,
    'os in [darwin]': false,
    'os not in [darwin, windows]': true,
    'os not in [linux]': false,
    'cpus in [4, 8]': true,
    'cpu.features has avx2': true,
    'cpu.features has avx512f': false,
    'os has linux': true,
    "gpu.name matches '*A100*'": true,
    "gpu.name matches 'UHD ?30'": true,
    "gpu.name matches 'UHD'": false,
    "os matches '*'": true,
    "os matches '?????'": true,
    "os matches '????'": false,
    "os matches '**l*n*x**'": true,
    'os matches linux': true,
  })
})

test('holds: an attribute by itself is there, and neither false, nor 0, nor an empty list', () => {
  answers({
    os: true,
    container: true,
    numa: false,
    'gpu.count': false,
    'cpu.devices': false,
    'label.fast': true,
    'label.slow': false,
    'not label.slow': true,
    "'my label'": true,
  })
})

test('holds: what is not there satisfies no comparison, and its negation is true', () => {
  answers({
    'label.none == x': false,
    'label.none != x': false,
    'label.none < 1': false,
    'label.none not in [x]': false,
    "label.none matches '*'": false,
    'not label.none == x': true,
    'not (label.none != x)': true,
  })
})

test('holds: the right-hand side says what is compared', () => {
  answers({
    'gpu.memory >= 16GiB': true,
    'gpu.memory > 16GiB': false,
    'memory < 34GB': false,
    'memory < 35GB': true,
    'memory == 34359738368': true,
    'label.disk >= 400GB': true,
    'label.disk == 500000MB': true,
    'label.zone >= 400GB': false,
    'label.gpu == true': true,
    'container == true': true,
    'container != false': true,
    "container == 'true'": false,
    'label.shard == 5': true,
    "label.shard == '5'": true,
    "cpus == '8'": false,
    'os > 5': false,
    'os == 5': false,
    'container > 0': false,
  })
})

test('holds: text that looks like a version is compared as one', () => {
  answers({
    'tool.node >= 20': true,
    'tool.node >= v20.11': true,
    'tool.node >= 20.9': true,
    'tool.node > 20.11.1': false,
    'tool.node == v20.11.1': true,
    'tool.node == 20': false,
    'tool.node < 21': true,
    "tool.node matches '20.*'": true,
    'browser.chromium.version >= 120': true,
    'browser.chromium.version >= 120.0.6099.110': false,
    'tool.python3 >= 3.14': false,
    'tool.python3 >= 3.14.0rc1': true,
    'tool.python3 < 3.14': true,
    'os.kernel >= 6.8': true,
    "os.kernel == '6.8.0-49-generic'": true,
    'cpus >= v8': true,
    'label.zone > v1': false,
  })
})

test('holds: a list satisfies what one of its elements does', () => {
  answers({
    'gpu.vendor == nvidia': true,
    'gpu.vendor == amd': false,
    'gpu.vendor != amd': true,
    'gpu.vendor != nvidia': false,
    'gpu.vendor in [amd, intel]': true,
    'gpu.vendor not in [amd, intel]': false,
    'cpu.devices == x': false,
    'cpu.devices != x': true,
  })
})

test('holds: not binds tighter than and, and tighter than or', () => {
  answers({
    'os or numa and numa': true,
    '(os or numa) and numa': false,
    'not numa and os': true,
    'not (numa and os)': true,
    'not numa or os': true,
    'not os or os': true,
    'not os == darwin': true,
    '!numa&&os||numa': true,
    '! ! os': true,
    'os\n  and (cpus >= 4\n    or numa)': true,
  })
})

test('parseExpression: an error says what was expected, what came, and points at the character', () => {
  const table: readonly (readonly [string, number, RegExp])[] = [
    ['', 0, /expected an attribute's name, `not` or `\(`, got the end/],
    ['   ', 3, /got the end/],
    ['os = linux', 3, /expected `==`, got `=`/],
    ['os & x', 3, /expected `&&` or `and`, got `&`/],
    ['os | x', 3, /expected `\|\|` or `or`/],
    ['os linux', 3, /expected a comparison such as `==`, `and`, `or` or the end, got `linux`/],
    ['os == linux x', 12, /expected `and`, `or` or the end, got `x`/],
    ['os == linux)', 11, /got `\)`/],
    ['(os == linux', 12, /expected `and`, `or` or `\)`, got the end/],
    ['os ==', 5, /expected a value, got the end/],
    ['os == and', 6, /expected a value \(in quotes.*got `and`/],
    ['os AND cpus', 3, /got `AND`/],
    ['os and', 6, /an attribute's name/],
    ['4 < cpus', 0, /an attribute's name.*got `4`/],
    ['24GiB <= memory', 0, /an attribute's name/],
    ['true', 0, /an attribute's name/],
    ["'' == x", 0, /an attribute's name/],
    ['memory >= big', 10, /expected a number, a size or a version, without quotes, after `>=`, got `big`/],
    ["memory >= '24GiB'", 10, /without quotes/],
    ['memory >= 24G', 10, /a size/],
    ['memory >= 9999PiB', 10, /below 2\^53/],
    ['cpus < 99999999999999999', 7, /below 2\^53/],
    ["os == 'linux", 6, /expected ' at the end of the text that begins here/],
    ['os == "a\\b"', 9, /after the backslash, got `b`/],
    ['os in linux', 6, /expected `\[`, got `linux`/],
    ['os in []', 7, /expected a value, got `\]`/],
    ['os in [a b]', 9, /expected `,` or `\]`/],
    ['os in [a, b', 11, /got the end/],
    ['os not linux', 7, /expected `in`/],
    ['os matches [', 11, /expected text in quotes/],
    ['os matches li*', 13, /expected a word|in quotes|`and`/],
    ['os == $x', 6, /expected a word \(in quotes, .*got `\$`/],
    ['os == 🦊', 6, /got `🦊`/],
    ['os ==\n  linux\n  darwin', 16, /got `darwin`\n {4}darwin\n {4}\^$/],
  ]
  for (const [text, at, message] of table)
    assert.throws(
      () => parseExpression(text),
      (error) => {
        assert.ok(error instanceof ExpressionError, text)
        assert.match(error.message, message)
        assert.equal(error.at, at, error.message)
        assert.equal(error.text, text)
        return true
      },
    )
})

test('parseExpression: the caret stands below the character, also in a long line', () => {
  const caretIn = (text: string) => {
    assert.throws(() => parseExpression(text), ExpressionError)
    try {
      parseExpression(text)
    } catch (error) {
      const [, line = '', caret = ''] = (error as ExpressionError).message.split('\n')
      return line[caret.indexOf('^')]
    }
    return undefined
  }
  assert.equal(caretIn('os == linux ; cpus'), ';')
  assert.equal(caretIn(`${'os == linux or '.repeat(50)}; cpus${' '.repeat(500)}`), ';')
  assert.equal(caretIn('os ==\tlinux\t; cpus'), ';')
})

test('parseExpression: the caret stands below the character after wide ones, too', () => {
  for (const before of [
    '日本語',
    '한국어',
    'ｆｕｌｌ',
    'e\u0301le\u0300ve',
    '𠮷野家',
    '🚀',
    'böse',
    'ひらがなカタカナ、。「」',
    '한글',
  ]) {
    assert.throws(
      () => parseExpression(`label.x == "${before}" ; cpus`),
      (error: Error) => {
        const [, line = '', caret = ''] = error.message.split('\n')
        assert.equal(caret.indexOf('^'), stringWidth(line.slice(0, line.indexOf(';'))), before)
        return true
      },
    )
  }
})

test('parseExpression: too long and too deep are refused, as deep as may be is not', () => {
  assert.throws(() => parseExpression('os or '.repeat(1000)), /expected at most 4096 characters, got 6000 characters/)
  const deep = (levels: number) => `${'('.repeat(levels)}os${')'.repeat(levels)}`
  assert.ok(holds(parseExpression(deep(64)), attribute))
  assert.throws(() => parseExpression(deep(65)), /expected at most 64 parentheses and `not` within each other/)
  assert.ok(holds(parseExpression(`${'not '.repeat(64)}os`), attribute))
  assert.throws(
    () => parseExpression(`${'!'.repeat(65)}os`),
    (error) => (error as ExpressionError).at === 64,
  )
  assert.throws(() => parseExpression('('.repeat(4096)), ExpressionError)
})

test('formatExpression: one spelling, and parentheses where they are needed', () => {
  const table: Readonly<Record<string, string>> = {
    'os=="linux"&&!numa||cpus>4': 'os == linux and not numa or cpus > 4',
    '((os))and((numa or(cpus)))': 'os and (numa or cpus)',
    'os and (numa and cpus)': 'os and numa and cpus',
    '!(os and numa)': 'not (os and numa)',
    '!(os == linux)': 'not os == linux',
    'memory>=1024MiB': 'memory >= 1GiB',
    'tool.node >= 20.10': 'tool.node >= 20.10',
    "os == 'and'": "os == 'and'",
    "os == '20'": "os == '20'",
    "os == 'true'": "os == 'true'",
    'os == "it\'s"': "os == 'it\\'s'",
    "'my label' in ['a b',c]": "'my label' in ['a b', c]",
    "'24GiB' == x": "'24GiB' == x",
    'os matches linux': "os matches 'linux'",
  }
  for (const [text, canonical] of Object.entries(table)) {
    assert.equal(formatExpression(parseExpression(text)), canonical)
    assert.deepEqual(parseExpression(canonical), parseExpression(text))
  }
})

test('attributesIn: each once, in the order of the text', () => {
  const expression = parseExpression('not (os == a or cpus > 1) and os != b and tool.node')
  assert.deepEqual(attributesIn(expression), ['os', 'cpus', 'tool.node'])
})

test('misses: what would have to be otherwise, with what was found and how far it is', () => {
  const missesOf = (text: string) => misses(parseExpression(text), attribute)
  assert.deepEqual(missesOf('os == linux and gpu.memory >= 24GiB and label.none'), [
    { text: 'gpu.memory >= 24GiB', found: '16 GiB', distance: 1 / 3 },
    { text: 'label.none', found: undefined },
  ])
  assert.deepEqual(missesOf('not (os == linux and cpus == 8)'), [{ text: 'not cpus == 8', found: '8', distance: 0 }])
  assert.deepEqual(missesOf('gpu.vendor == amd'), [{ text: 'gpu.vendor == amd', found: 'nvidia, intel' }])
  assert.deepEqual(missesOf('cpu.devices has x'), [{ text: 'cpu.devices has x', found: 'none' }])
})

test('misses: of several ways the one with the fewest, and of as few the nearest', () => {
  const textsOf = (text: string) => misses(parseExpression(text), attribute).map((miss) => miss.text)
  assert.deepEqual(textsOf('os == darwin and numa or cpus >= 100'), ['cpus >= 100'])
  assert.deepEqual(textsOf('cpus >= 100 or cpus >= 10 or label.none'), ['cpus >= 10'])
  assert.deepEqual(textsOf('label.none or cpus >= 10'), ['cpus >= 10'])
  assert.deepEqual(textsOf('cpus in [1, 7] or cpus == 4'), ['cpus in [1, 7]'])
  assert.deepEqual(textsOf('not (os or cpus)'), ['not os', 'not cpus'])
  assert.deepEqual(textsOf('numa and numa'), ['numa'])
})

test('misses: a long list is shortened', () => {
  const features = Array.from({ length: 200 }, (_, n) => `f${n}`)
  const [miss] = misses(parseExpression('cpu.features has amx'), () => features)
  assert.equal(miss?.found, 'f0, f1, f2, f3, f4, f5, f6, f7, … 192 more')
})

test('docs/reference/expressions.md: every example can be read', async () => {
  const page = await readFile(new URL('../../docs/reference/expressions.md', import.meta.url), 'utf8')
  const blocks = [...page.matchAll(/```expression\n(.*?)```/gs)].flatMap(([, block = '']) => block.trim().split('\n'))
  const cells = [...page.matchAll(/^\| .* \| `([^`]*)` \|$/gm)].map(([, cell = '']) => cell)
  assert.ok(blocks.length >= 15 && cells.length >= 9, `${blocks.length} and ${cells.length} examples`)
  for (const example of [...blocks, ...cells]) parseExpression(example.replaceAll('\\|', '|'))
})
