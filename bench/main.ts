/**
 * `npm run bench [-- NAME…]`: every other program of this folder, one after the other, each in a
 * process of its own so that none warms up or fills the memory of the next. A benchmark prints its
 * figures with a baseline measured in the same run, because a figure from another machine or another
 * minute says nothing. NAME is a file's name or a part of some, as in `npm run bench -- log startup`.
 */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const timeoutMs = 10 * 60_000

const folder = import.meta.dirname
const all = readdirSync(folder)
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && file !== 'main.ts' && file !== 'table.ts')
  .map((file) => file.slice(0, -'.ts'.length))
  .sort()

const wanted = process.argv.slice(2)
const isWanted = (name: string, part: string) => (all.includes(part) ? name === part : name.includes(part))
const chosen = all.filter((name) => wanted.length === 0 || wanted.some((part) => isWanted(name, part)))
if (chosen.length === 0) {
  console.error(`bench: nothing is named like ${wanted.join(' ')}; there are ${all.join(', ')}`)
  process.exit(2)
}

function run(name: string): Promise<boolean> {
  console.log(`\n── ${name} ${'─'.repeat(Math.max(0, 76 - name.length))}`)
  const child = spawn(process.execPath, ['--expose-gc', path.join(folder, `${name}.ts`)], {
    stdio: 'inherit',
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  })
  return new Promise((resolve) => {
    child.on('error', (error) => {
      console.error(`bench: ${name}: ${error.message}`)
      resolve(false)
    })
    child.on('close', (code, signal) => {
      if (code !== 0) console.error(`bench: ${name} ended with ${signal ?? code}`)
      resolve(code === 0)
    })
  })
}

const cpu = os.cpus()[0]?.model.trim() ?? 'unknown CPU'
const memoryGib = (os.totalmem() / 2 ** 30).toFixed(1)
console.log(
  `Node ${process.version} · ${os.availableParallelism()} × ${cpu} · ${memoryGib} GiB · load ${os.loadavg()[0]?.toFixed(1)}`,
)
const failed: string[] = []
for (const name of chosen) if (!(await run(name))) failed.push(name)
if (failed.length > 0) console.error(`\nbench: failed: ${failed.join(', ')}`)
process.exitCode = failed.length > 0 ? 1 : 0
