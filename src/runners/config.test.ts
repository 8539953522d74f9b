import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { MusterError } from '../protocol/errors.ts'
import { inlineProject } from './conformance/inline-project.ts'
import { loadConfig } from './config.ts'

async function load(files: Readonly<Record<string, string>>) {
  await using project = await inlineProject(files)
  const config = await loadConfig(project.cwd, new Set(await readdir(project.cwd)))
  return config === undefined ? undefined : { ...config, file: path.basename(config.file) }
}

/** Message of the config_invalid error, with the temporary folder left out. */
async function refusal(name: string, content: string): Promise<string> {
  try {
    await load({ [name]: content })
  } catch (error) {
    assert.ok(error instanceof MusterError && error.code === 'config_invalid', String(error))
    return error.message.replace(/\/\S*\/muster-project-\w+\//g, '')
  }
  throw new assert.AssertionError({ message: 'nothing was thrown' })
}

test('loadConfig: none, JSON, TypeScript with defineConfig from a Muster that is not installed here, CommonJS', async () => {
  assert.equal(await load({ 'package.json': '{}' }), undefined)
  const suites = [
    { name: 'unit', framework: 'vitest', retries: 1, timeout: '1h30m', env: { A: 'b' }, labels: { gpu: 'yes' } },
  ]
  assert.deepEqual(await load({ 'muster.config.json': JSON.stringify({ suites, env: ['CI'] }) }), {
    suites,
    env: ['CI'],
    file: 'muster.config.json',
  })
  assert.deepEqual(
    await load({
      'muster.config.ts': `import { defineConfig } from 'muster'\nconst name: string = 'unit'\nexport default defineConfig({ suites: [{ name }] })\n`,
    }),
    { suites: [{ name: 'unit' }], file: 'muster.config.ts' },
  )
  assert.deepEqual(await load({ 'muster.config.cjs': 'module.exports = { env: [] }' }), {
    env: [],
    file: 'muster.config.cjs',
  })
})

test('loadConfig: every refusal names the file, the place, what was expected and what came', async () => {
  const json = (config: unknown) => refusal('muster.config.json', JSON.stringify(config))
  assert.match(await refusal('muster.config.json', '{ suites'), /^Cannot read muster\.config\.json: expected JSON, /)
  assert.equal(
    await json({ suites: [{ name: 'a', retry: { lost: { max: 1, backoff: '1m..2s' } } }] }),
    "Cannot use suites[0].retry.lost.backoff in muster.config.json: expected a duration such as 2s, or the first and the longest: 2s..1m, received '1m..2s'",
  )
  assert.equal(
    await json({ suites: [{ name: 'a', retry: { gone: {} } }] }),
    "Cannot use suites[0].retry.gone in muster.config.json: expected one of failed, timed-out, lost, crashed, infrastructure, received the unknown key 'gone'",
  )
  assert.equal(
    await json([]),
    'Cannot use muster.config.json: expected an object: { suites, env, fallback }, received []',
  )
  assert.equal(
    await json({ suite: [] }),
    "Cannot use suite in muster.config.json: expected one of suites, env, fallback, received the unknown key 'suite'",
  )
  assert.equal(
    await json({ suites: {} }),
    'Cannot use suites in muster.config.json: expected a list of suites, received {}',
  )
  assert.equal(
    await json({ suites: [{ name: 'a' }, {}] }),
    'Cannot use suites[1].name in muster.config.json: expected a name, e.g. "unit", received nothing',
  )
  assert.equal(
    await json({ suites: [{ name: 'a', framework: 'karma' }] }),
    "Cannot use suites[0].framework in muster.config.json: expected one of vitest, jest, mocha, node, playwright, pytest, go, command, received 'karma'",
  )
  assert.equal(
    await json({ suites: [{ name: 'a', retries: -1 }] }),
    'Cannot use suites[0].retries in muster.config.json: expected a whole number, 0 or more, received -1',
  )
  assert.equal(
    await json({ suites: [{ name: 'a', timeout: '5' }] }),
    `Cannot use suites[0].timeout in muster.config.json: expected a duration such as "90s" or "5m", received '5'`,
  )
  assert.equal(
    await json({ suites: [{ name: 'a', env: { A: 1 } }] }),
    'Cannot use suites[0].env.A in muster.config.json: expected a text, received 1',
  )
  assert.equal(
    await json({ suites: [{ name: 'a', args: ['x', 2] }] }),
    'Cannot use suites[0].args[1] in muster.config.json: expected a text, received 2',
  )
  assert.equal(
    await json({ suites: [{ name: 'a', discover: 'x', run: ['x'], results: 'exit-code' }] }),
    "Cannot use suites[0].discover in muster.config.json: expected a list of file patterns, or { command: [program, ...arguments] }, received 'x'",
  )
  assert.equal(
    await json({ suites: [{ name: 'a' }, { name: 'a' }] }),
    "Cannot use suites[1].name in muster.config.json: expected a name of its own, received 'a' a second time",
  )
  assert.equal(
    await json({ suites: [{ name: 'a', run: ['x'] }] }),
    'Cannot use suites[0].discover in muster.config.json: expected discover, run and results together, received nothing',
  )
  assert.match(
    await json({ suites: [{ name: 'a', discover: ['x'], run: ['x'], results: 'junit' }] }),
    /suites\[0\]\.run .* expected the placeholder \{junit\}/,
  )
  assert.match(
    await json({ suites: [{ name: 'a', framework: 'go', run: ['x'] }] }),
    /suites\[0\]\.run .* expected nothing: go knows this itself/,
  )
  assert.match(await refusal('muster.config.mjs', 'export const a = 1'), /expected a default export/)
  assert.match(
    await refusal('muster.config.ts', 'throw new TypeError("broken")\nexport default {}'),
    /^Cannot load muster\.config\.ts: TypeError: broken at .*muster\.config\.ts/,
  )
  await assert.rejects(
    load({ 'muster.config.json': '{}', 'muster.config.ts': '' }),
    /expected one file, found muster\.config\.ts and muster\.config\.json/,
  )
})

test('loadConfig: needs, rules, order and deadlines are checked where they stand', async () => {
  const suite = async (more: object, name = 'a') =>
    (
      await refusal(
        'muster.config.json',
        JSON.stringify({
          suites: [
            { name, ...more },
            { name: 'b', after: 'a' },
          ],
        }),
      )
    ).replace('Cannot use suites[0].', '')
  assert.equal(
    await suite({ requires: { memory: '8' } }),
    `requires.memory in muster.config.json: expected an amount such as "8GiB", received '8'`,
  )
  assert.equal(
    await suite({ requires: { gpu: 1 } }),
    "requires.gpu in muster.config.json: expected one of cpus, memory, gpus, resources, where, locks, exclusive, affinity, antiAffinity, spread, together, batch, received the unknown key 'gpu'",
  )
  assert.equal(
    await suite({ rules: [{ files: 'x', requires: { where: 'os = linux' } }] }),
    "rules[0].requires.where in muster.config.json: expected an expression, received 'os = linux'\n" +
      'Cannot read the expression: expected `==`, got `=`\n  os = linux\n     ^',
  )
  assert.equal(
    await suite({ rules: [{ requires: {} }] }),
    'rules[0] in muster.config.json: expected files or tags that the rule is about, received neither',
  )
  assert.equal(
    await suite({ requires: { locks: ['db', 'db'] } }),
    "requires.locks[1] in muster.config.json: expected each lock once, received 'db'",
  )
  for (const requires of [{ together: 'a\nb' }, { locks: ['\u001b[2J'] }, { locks: [{ name: '\u009b' }] }])
    assert.match(await suite({ requires }), /^requires\.(together|locks\[0\](\.name)?) in .*: expected a name/)
  for (const [requires, words] of [
    [
      { gpus: { vendor: 'NVIDIA' } },
      "requires.gpus.vendor in muster.config.json: expected one of nvidia, amd, intel, other, received 'NVIDIA'",
    ],
    [
      { gpus: { counts: 2 } },
      "requires.gpus.counts in muster.config.json: expected one of count, memory, vendor, exclusive, received the unknown key 'counts'",
    ],
    [
      { gpus: { count: 0 } },
      'requires.gpus.count in muster.config.json: expected a whole number of at least 1, received 0',
    ],
    [
      { gpus: { exclusive: false } },
      'requires.gpus.memory in muster.config.json: expected the memory of a card that is shared, e.g. "4GiB", received nothing',
    ],
    [
      { locks: [{ name: 'db', mode: 'share' }] },
      "requires.locks[0].mode in muster.config.json: expected one of exclusive, shared, received 'share'",
    ],
    [
      { locks: [{ max: 2 }] },
      'requires.locks[0].name in muster.config.json: expected a name on one line, received nothing',
    ],
    [
      { batch: {} },
      'requires.batch in muster.config.json: expected a whole number of at least 1, or { max }, received {}',
    ],
    [{ cpus: 1e300 }, 'requires.cpus in muster.config.json: expected a whole number of at least 1, received 1e+300'],
    [
      { resources: { 'a b': 1 } },
      "requires.resources in muster.config.json: expected names that are a letter, then letters, digits, _ and -, received 'a b'",
    ],
    [
      { affinity: '\u001b[2J' },
      'requires.affinity in muster.config.json: expected a name on one line, received "\\u001b[2J"',
    ],
  ] as const)
    assert.equal(await suite({ requires }), words)
  assert.match(
    await refusal('muster.config.mjs', `export default { suites: [{ name: 'a', requires: { cpus: 2n } }] }`),
    /cpus in muster\.config\.mjs: expected a whole number of at least 1, received 2n$/,
  )
  assert.equal(
    await suite({ after: ['b'] }),
    'after in muster.config.json: expected suites in some order, received a circle: a -> b -> a',
  )
  assert.equal(await suite({ after: 'c' }), "after in muster.config.json: expected one of a, b, received 'c'")
  assert.equal(
    await suite({ priority: 'urgent' }),
    "priority in muster.config.json: expected one of critical, high, normal, low, background, or a whole number from -1000 to 1000, received 'urgent'",
  )
  assert.equal(
    await suite({ deadline: 'soon' }),
    `deadline in muster.config.json: expected a duration such as "20m", or a time such as "14:00", received 'soon'`,
  )
})
