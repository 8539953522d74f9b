/**
 * What `muster run` costs over the framework alone on one host, warm (daemon up, history known): the
 * same made-up suite run natively and under Muster in turn, whole processes, medians. vitest, jest and
 * mocha, told the same number of workers. Goal ≤ 1.05 for suites of some seconds; the difference is a
 * constant (the CLI's start, a few messages), so it is shown too.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { formatTable } from './table.ts'

const rounds = 5
const files = 40
const busyMs = 100
const root = path.join(import.meta.dirname, '..')
const bin = (name: string) => path.join(root, 'node_modules', '.bin', name)
const muster = path.join(root, 'bin', 'muster')
const cpus = os.availableParallelism()

const spin = `const until = performance.now() + ${busyMs}; while (performance.now() < until);`
const suites = [
  {
    name: 'vitest',
    native: [bin('vitest'), 'run', `--maxWorkers=${cpus}`],
    file: (index: number) =>
      [`t${index}.test.js`, `import { test } from 'vitest'\ntest('spins', () => { ${spin} })\n`] as const,
  },
  {
    name: 'jest',
    native: [bin('jest'), `--maxWorkers=${cpus}`],
    file: (index: number) => [`t${index}.test.cjs`, `test('spins', () => { ${spin} })\n`] as const,
    extra: { 'jest.config.cjs': "module.exports = { testMatch: ['**/*.test.cjs'] }\n" },
  },
  {
    name: 'mocha',
    native: [bin('mocha'), 't*.test.cjs'],
    file: (index: number) => [`t${index}.test.cjs`, `it('spins', () => { ${spin} })\n`] as const,
    extra: { '.mocharc.json': '{ "spec": ["t*.test.cjs"] }\n' },
  },
]

function timed(argv: readonly string[], cwd: string, env: NodeJS.ProcessEnv): number {
  const startMs = performance.now()
  const done = spawnSync(argv[0]!, argv.slice(1), { cwd, env, encoding: 'utf8' })
  const tookMs = performance.now() - startMs
  if (done.status !== 0) throw new Error(`${argv.join(' ')} ended with ${done.status}\n${done.stdout}${done.stderr}`)
  return tookMs
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

const home = mkdtempSync(path.join(os.tmpdir(), 'muster-overhead-'))
const env: NodeJS.ProcessEnv = {
  ...process.env,
  MUSTER_DATA: path.join(home, 'data'),
  XDG_RUNTIME_DIR: home,
  CI: '',
  NO_COLOR: '1',
}
const rows: (string | number)[][] = []
try {
  for (const { name, native, file, extra } of suites) {
    const cwd = path.join(home, name)
    mkdirSync(cwd)
    symlinkSync(path.join(root, 'node_modules'), path.join(cwd, 'node_modules'))
    writeFileSync(path.join(cwd, 'package.json'), JSON.stringify({ type: 'module', devDependencies: { [name]: '*' } }))
    for (const [at, text] of Object.entries(extra ?? {})) writeFileSync(path.join(cwd, at), text)
    for (let index = 0; index < files; index += 1) writeFileSync(path.join(cwd, file(index)[0]), file(index)[1])
    const ours = [muster, 'run', '--framework', name]
    timed(native, cwd, env)
    timed(ours, cwd, env)
    const pairs = Array.from({ length: rounds }, () => [timed(native, cwd, env), timed(ours, cwd, env)] as const)
    const alone = median(pairs.map((pair) => pair[0]))
    const under = median(pairs.map((pair) => pair[1]))
    rows.push([name, files, alone / 1000, under / 1000, median(pairs.map((pair) => pair[1] / pair[0])), under - alone])
  }
} finally {
  spawnSync(muster, ['down', '--force'], { env })
  rmSync(home, { recursive: true, force: true })
}
process.stdout.write(
  formatTable({
    title: `muster run over the framework alone, one host, ${cpus} workers, warm, ${rounds} pairs`,
    columns: ['framework', 'files', 'alone s', 'Muster s', 'ratio', 'difference ms'],
    rows,
    note: 'Goal: ratio ≤ 1.05.',
  }),
)
