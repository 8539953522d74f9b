import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { MusterError } from '../protocol/errors.ts'
import { commentBytesMax, parseComments, readComments } from './file-comments.ts'

const refusal = (line: string): string => {
  try {
    parseComments('t/a.test.ts', `\n${line}\n`)
  } catch (error) {
    assert.ok(error instanceof MusterError && error.code === 'config_invalid', String(error))
    return error.message
  }
  throw new assert.AssertionError({ message: `${line} was taken` })
}

test('parseComments: everything that a file can say, in the comments of any language', () => {
  const { requires, tags, dependsOn } = parseComments(
    'a',
    [
      '#!/bin/sh',
      '// muster: requires gpu.memory >= 24GiB',
      '# muster: requires os == linux',
      '/* muster: cpus 4 */',
      ' * @muster memory 8GiB',
      '-- muster: gpus 2',
      '; muster: resource licence 3',
      '# muster: lock db shared',
      '# muster: lock port 5',
      '# muster: lock file',
      '<!-- muster: exclusive -->',
      '% muster: affinity chromium',
      '# muster: anti-affinity port-80',
      '# muster: spread e2e',
      '# muster: batch 5',
      '# muster: tags slow @gpu',
      '# muster: after t/setup.sh t/db/**',
      'print("muster: lock nothing")',
      '# the muster: lock nothing',
    ].join('\r\n'),
  )
  assert.deepEqual(requires, {
    where: '(gpu.memory >= 24GiB) and (os == linux)',
    cpus: 4,
    memory: '8GiB',
    gpus: 2,
    resources: { licence: 3 },
    locks: [
      { name: 'db', mode: 'shared' },
      { name: 'port', max: 5 },
      { name: 'file', mode: 'exclusive' },
    ],
    exclusive: true,
    affinity: 'chromium',
    antiAffinity: 'port-80',
    spread: 'e2e',
    batch: { max: 5 },
  })
  assert.deepEqual(
    [tags, dependsOn],
    [
      ['slow', '@gpu'],
      ['t/setup.sh', 't/db/**'],
    ],
  )
})

test('parseComments: a mistake names file, line, what was expected and what came', () => {
  assert.match(
    refusal('// muster: lok db'),
    /^Cannot read the comment in t\/a\.test\.ts:2: expected requires, .*got 'lok'$/,
  )
  assert.match(
    refusal('# muster: lock db often'),
    /expected a name, and shared, exclusive or a number after it, got 'db often'/,
  )
  assert.match(refusal('# muster: gpus two'), /expected a whole number from 1 after gpus, got 'two'/)
  assert.match(refusal('# muster: memory 8'), /expected an amount such as 8GiB after memory, got '8'/)
  assert.match(refusal('# muster: requires gpu.memory >'), /expected a value, got the end\n {2}gpu\.memory >\n {14}\^/)
  assert.match(refusal('# muster: lock'), /expected a name/)
})

test('readComments: the first 2 KiB of each file, packages by their test files, what is no file says nothing', async () => {
  const cwd = await mkdtemp(path.join(tmpdir(), 'muster-comments-'))
  try {
    const padding = 'x'.repeat(commentBytesMax)
    await mkdir(path.join(cwd, 'pkg'))
    await writeFile(path.join(cwd, 'a.sh'), `# muster: lock a\n${padding}\n# muster: lock too-late\n`)
    await writeFile(path.join(cwd, 'b.sh'), `${padding.slice(20)}\n# muster: lock cut-off-in-the-middle\n`)
    await writeFile(path.join(cwd, 'c.sh'), 'nothing')
    await writeFile(path.join(cwd, 'pkg', 'x_test.go'), '// muster: cpus 2\n')
    await writeFile(path.join(cwd, 'pkg', 'x.go'), '// muster: nonsense\n')
    const found = await readComments(cwd, ['a.sh', 'b.sh', 'c.sh', './pkg', 'pkg', 'not there'])
    assert.deepEqual([...found.keys()], ['a.sh', './pkg'])
    assert.deepEqual(found.get('a.sh')?.requires, { locks: [{ name: 'a', mode: 'exclusive' }] })
    assert.deepEqual(found.get('./pkg')?.requires, { cpus: 2 })
  } finally {
    await rm(cwd, { recursive: true })
  }
})

test('parseComments: files of one package may name the same lock, and the strictest counts', () => {
  const both = (one: string, other: string): unknown =>
    parseComments('b_test.go', `// muster: ${other}\n`, parseComments('a_test.go', `// muster: ${one}\n`)).requires
      .locks
  const exclusive = [{ name: 'db', mode: 'exclusive' }]
  assert.deepEqual(both('lock db', 'lock db'), exclusive)
  assert.deepEqual(both('lock db', 'lock db shared'), exclusive)
  assert.deepEqual(both('lock db 3', 'lock db'), exclusive)
  assert.deepEqual(both('lock db shared', 'lock db shared'), [{ name: 'db', mode: 'shared' }])
  assert.deepEqual(both('lock db 3', 'lock db 3'), [{ name: 'db', max: 3 }])
  assert.deepEqual(both('lock db', 'cpus 2'), exclusive)
  assert.deepEqual(both('lock db', 'lock mail'), [...exclusive, { name: 'mail', mode: 'exclusive' }])
  assert.throws(
    () => both('lock db 3', 'lock db 4'),
    /^MusterError: Cannot read the comments in b_test.go: expected lock 'db' as another file of the package has it \(3 at most\), or exclusive$/,
  )
  assert.throws(() => both('lock db shared', 'lock db 4'), /another file of the package has it \(shared\)/)
  assert.throws(() => both('cpus 2', 'lock db\n// muster: lock db'), /b_test.go:2: expected each lock once, got 'db'/)
})
