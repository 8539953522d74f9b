/**
 * `npm test`: installs what the tests need from the system (scripts/setup-tests.sh), runs every
 * `*.test.ts` with `node --test`, and then looks for processes that the tests left behind: all of
 * them inherit a variable with this run's id, so /proc can be searched for it. One that is still
 * there makes the run fail, and is named and ended.
 *
 * Most of what the tests cost is starting processes. All of them find what an earlier one compiled in a directory of
 * this run's own, unless the caller's NODE_COMPILE_CACHE names another.
 *
 * Arguments: files or folders to run instead of everything, and options for `node`, as in
 * `npm test -- src/core --test-name-pattern=ledger`.
 */
import { spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const root = path.join(import.meta.dirname, '..')
const marker = 'MUSTER_TEST_RUN'
/** Longest time for everything; a test's own limit is below that. */
const runTimeoutMs = 20 * 60_000
const testTimeoutMs = 5 * 60_000
/** A process that has been told to stop may need a moment. */
const leftoverGraceMs = 2_000
/** One that was killed is gone as soon as it gets a processor once more. */
const killedGraceMs = 10_000

function setUp(): void {
  const run = spawnSync(path.join(root, 'scripts', 'setup-tests.sh'), { stdio: 'inherit' })
  if (run.status === 0) return
  console.error('test: the system packages above are missing; tests that need them will fail.')
  if (process.env.CI) process.exit(1)
}

function testFiles(args: readonly string[]): string[] {
  const places = args.length > 0 ? args : ['src', 'scripts', 'examples/tests']
  return places.flatMap((place) => {
    const absolute = path.resolve(root, place)
    if (!statSync(absolute, { throwIfNoEntry: false })?.isDirectory()) return args.length > 0 ? [place] : []
    return globSync('**/*.test.ts', {
      cwd: absolute,
      exclude: (name) => name === 'fixtures' || name === 'node_modules',
    })
      .map((file) => path.relative(root, path.join(absolute, file)))
      .sort()
  })
}

type Leftover = { readonly pid: number; readonly command: string }

/** Living processes of this run; Linux only, elsewhere nothing is looked at. */
function leftovers(id: string): Leftover[] {
  if (process.platform !== 'linux') return []
  const found: Leftover[] = []
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${marker}=${id}`)) continue
      const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim()
      // A zombie has no command line: it is dead, only its parent hasn't asked yet.
      if (command !== '') found.push({ pid, command })
    } catch (error) {
      // It ended meanwhile, or belongs to another user: not ours.
      if (!['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }
  return found
}

async function endLeftovers(id: string): Promise<number> {
  const deadlineMs = Date.now() + leftoverGraceMs
  while (leftovers(id).length > 0 && Date.now() < deadlineMs) await delay(50)
  const left = leftovers(id)
  for (const { pid, command } of left) {
    console.error(`test: left running: ${pid} ${command.slice(0, 200)}`)
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  // Whoever looks for them when this has ended finds none.
  const goneByMs = Date.now() + killedGraceMs
  while (leftovers(id).length > 0 && Date.now() < goneByMs) await delay(10)
  return left.length
}

type Surroundings = { readonly id: string; readonly compiled: string }

async function runTests(
  options: readonly string[],
  files: readonly string[],
  { id, compiled }: Surroundings,
): Promise<number> {
  // One more than there are processors: many tests wait for a lease or a limit to pass.
  const concurrency = Math.min(os.availableParallelism() + 1, 8)
  const args = ['--test', `--test-concurrency=${concurrency}`, `--test-timeout=${testTimeoutMs}`, ...options, ...files]
  const env = { NODE_COMPILE_CACHE: compiled, ...process.env, [marker]: id }
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit', env })
  const timer = setTimeout(() => {
    console.error(`test: not done after ${runTimeoutMs / 60_000} minutes; stopping`)
    child.kill('SIGTERM')
    setTimeout(() => child.kill('SIGKILL'), 10_000).unref()
  }, runTimeoutMs)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code) => resolve(code ?? 1))
    })
  } finally {
    clearTimeout(timer)
  }
}

const args = process.argv.slice(2)
const options = args.filter((arg) => arg.startsWith('-'))
const files = testFiles(args.filter((arg) => !arg.startsWith('-')))
if (files.length === 0) {
  console.error('test: no test files there')
  process.exit(1)
}
setUp()
const id = randomUUID()
const compiled = mkdtempSync(path.join(os.tmpdir(), 'muster-compiled-'))
const code = await runTests(options, files, { id, compiled })
const left = await endLeftovers(id)
rmSync(compiled, { recursive: true, force: true })
if (left > 0) console.error(`test: ${left} processes were left running; a test must end what it starts`)
process.exitCode = code === 0 && left > 0 ? 1 : code
