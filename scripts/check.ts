/**
 * `npm run check`: everything a machine can say about the code without running it, in one command.
 * The checks run at the same time; each prints one line with its time, and the output of those that
 * failed follows. A newcomer needs no more than this list to know what is looked at. Tests are not
 * here: `npm test` runs them.
 *
 * Arguments choose checks by name: `npm run check -- lint types`.
 */
import { spawn } from 'node:child_process'
import path from 'node:path'

type Check = { readonly name: string; readonly command: string; readonly args: readonly string[] }

const root = path.join(import.meta.dirname, '..')
const bin = (name: string): string => path.join(root, 'node_modules', '.bin', name)
const node = process.execPath

const checks: readonly Check[] = [
  { name: 'lint', command: bin('oxlint'), args: ['--deny-warnings'] },
  { name: 'format', command: bin('oxfmt'), args: ['--check', '.'] },
  { name: 'types', command: bin('tsc'), args: ['-p', '.'] },
  {
    name: 'architecture',
    command: node,
    args: ['--test', '--test-reporter=dot', 'src/testing/architecture.test.ts', 'src/testing/fences.test.ts'],
  },
  { name: 'dead-code', command: bin('knip'), args: ['--no-progress', '--treat-config-hints-as-errors'] },
  { name: 'docs', command: node, args: ['scripts/check-docs.ts'] },
]

const timeoutMs = 120_000

async function run(check: Check): Promise<boolean> {
  const startedMs = performance.now()
  const child = spawn(check.command, check.args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  })
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
  const problem = await new Promise<string | undefined>((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('close', (code, signal) => resolve(code === 0 ? undefined : `ended with ${signal ?? code}`))
  })
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1).padStart(5)
  console.log(`${problem === undefined ? '✓' : '✗'} ${check.name.padEnd(13)} ${seconds} s`)
  if (problem !== undefined) console.log(`${Buffer.concat(chunks).toString()}\n${check.name}: ${problem}\n`)
  return problem === undefined
}

const wanted = process.argv.slice(2)
const unknown = wanted.find((name) => !checks.some((check) => check.name === name))
if (unknown !== undefined) {
  console.error(`check: unknown check '${unknown}'; there are ${checks.map((check) => check.name).join(', ')}`)
  process.exit(2)
}
const startedMs = performance.now()
const chosen = checks.filter((check) => wanted.length === 0 || wanted.includes(check.name))
const failed = (await Promise.all(chosen.map(run))).filter((ok) => !ok).length
const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
console.log(failed === 0 ? `all ${chosen.length} checks passed in ${seconds} s` : `${failed} failed in ${seconds} s`)
process.exitCode = failed === 0 ? 0 : 1
