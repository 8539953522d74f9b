import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { TestCoordinator } from './test-coordinator.ts'
import { startTestWorker, temporaryFolder } from './test-worker.ts'
import { UsageMeter } from './usage.ts'

/** Burns the processor for so long, then says what it used. */
const burn = (ms: number): string =>
  `while (process.cpuUsage().user < ${ms * 1000}); const u = process.cpuUsage(); console.log((u.user + u.system) / 1000)`

/** What the program's processes say they used, and what was measured. Its input ends when `seen` is true. */
async function measure(
  program: string,
  seen: (meter: UsageMeter) => boolean = () => true,
): Promise<{ readonly saidMs: number; readonly meter: UsageMeter }> {
  const meter = new UsageMeter()
  const child = spawn(process.execPath, ['-e', program], { detached: true, stdio: ['pipe', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  const closed = once(child, 'close')
  const exited = once(child, 'exit')
  meter.spawned(child.pid!)
  // How often it looks depends on what a look costs here.
  const end = performance.now() + 30_000
  while (!seen(meter) && performance.now() < end) await sleep(20)
  child.stdin.end()
  await exited
  meter.exited(child.pid!)
  await closed
  const saidMs = said
    .trim()
    .split('\n')
    .reduce((sum, line) => sum + Number(line), 0)
  return { saidMs, meter }
}

describe('UsageMeter', () => {
  it('counts the time of every process below, also of those that are gone', async () => {
    const { saidMs, meter } = await measure(`
      const { spawnSync } = require('node:child_process')
      const run = (program) => spawnSync(process.execPath, ['-e', program], { stdio: 'inherit' })
      for (let count = 0; count < 2; count += 1) run(${JSON.stringify(burn(150))})
      ${burn(150)}`)
    const { cpuMs } = meter.usage!
    // Start and end of a process are not in what it says itself.
    assert.ok(cpuMs >= saidMs - 30 && cpuMs < saidMs + 300, `${cpuMs} ms measured, ${saidMs} ms said`)
  })

  it('knows the memory that was used at one time', async () => {
    const bytes = 300 * 1024 * 1024
    const { meter } = await measure(
      `const b = Buffer.alloc(${bytes}, 1); process.stdin.resume().once('end', () => b.length)`,
      ({ usage }) => (usage?.memoryBytesMax ?? 0) > bytes,
    )
    const { memoryBytesMax } = meter.usage!
    assert.ok(memoryBytesMax > bytes && memoryBytesMax < 2 * bytes, `${memoryBytesMax}`)
  })
})

it('a batch says what it used', async () => {
  await using coordinator = await new TestCoordinator().start()
  await using _worker = await startTestWorker(coordinator)
  using folder = temporaryFolder()
  const gate = path.join(folder.path, 'gate')
  const { batch } = coordinator.assign([`wait-for:${gate}`])
  await coordinator.until(() => coordinator.of('started', batch)[0], 'the start of the framework')
  // It is looked at soon after its start, and again within a second.
  await sleep(1500)
  writeFileSync(gate, '')
  const { usage } = await coordinator.ended(batch)
  assert.ok(usage!.cpuMs >= 20 && usage!.memoryBytesMax > 10_000_000, JSON.stringify(usage))
})
