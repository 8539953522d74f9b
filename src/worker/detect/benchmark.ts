/**
 * How fast this machine is, in well under a second: a process of its own, so that heartbeats go on. Argument: a directory to write
 * in. Prints one JSON object. Processor and memory are measured in this thread's processor time and by the best
 * of several rounds, so that a busy machine does not look like a slow one; the disk by the clock.
 */
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import path from 'node:path'
import type { Measured } from './speed.ts'

const rounds = 8
const copyBytes = 48 * 2 ** 20
const blockBytes = 64 * 1024
const syncsMax = 12
const diskMs = 250

function processorMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** The smallest of several, in milliseconds of processor time. */
function best(work: () => void): number {
  let least = Infinity
  for (let round = 0; round < rounds; round += 1) {
    const before = processorMs()
    work()
    least = Math.min(least, processorMs() - before)
  }
  return Math.max(least, 0.001)
}

/** Something of what tests do all day: objects, text, maps, numbers. */
function unitOfWork(): void {
  const map = new Map<string, number>()
  let text = ''
  for (let index = 0; index < 100_000; index += 1) {
    const key = `case ${(index * 2654435761) % 4093}`
    map.set(key, (map.get(key) ?? 0) + index)
    if (index % 8 === 0) text += `${key}: ${Math.sqrt(index).toFixed(3)}\n`
  }
  const parsed = JSON.parse(JSON.stringify([...map])) as [string, number][]
  parsed.sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]))
  const words = text.replace(/case (\d+)/g, 'test $1').split('\n')
  let hash = parsed.length
  for (const word of words) for (let at = 0; at < word.length; at += 1) hash = (hash * 31 + word.charCodeAt(at)) | 0
  if (hash === 0.5) throw new Error('never')
}

function memoryGigabytesPerSecond(): number {
  const from = Buffer.alloc(copyBytes, 1)
  const to = Buffer.alloc(copyBytes, 2)
  // Read and written.
  return (2 * copyBytes) / 1e6 / best(() => void from.copy(to))
}

/** The middle of several writes that each wait until the disk has them. */
function diskSyncMs(directory: string): number {
  const folder = mkdtempSync(path.join(directory, 'benchmark-'))
  try {
    const file = openSync(path.join(folder, 'block'), 'w')
    const block = Buffer.alloc(blockBytes, 7)
    const times: number[] = []
    const beganMs = performance.now()
    while (times.length < syncsMax && performance.now() - beganMs < diskMs) {
      const before = performance.now()
      writeSync(file, block)
      fsyncSync(file)
      times.push(performance.now() - before)
    }
    closeSync(file)
    return times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

// Once unmeasured: what is compiled afterwards is what runs all day.
unitOfWork()
const measured: Measured = {
  unitMs: best(unitOfWork),
  memoryGigabytesPerSecond: memoryGigabytesPerSecond(),
  diskSyncMs: diskSyncMs(process.argv[2] ?? '.'),
}
process.stdout.write(JSON.stringify(measured))
