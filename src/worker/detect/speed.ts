/**
 * One number for how fast a machine runs tests: 1 is the reference machine, 2 twice as fast. Nearly all of it is the speed
 * of one processor core, since that is what most suites wait for; memory and disk count a little. Estimates of
 * durations are scaled by it until history knows the machine.
 *
 * The reference machine is a virtual one of two cores of an Intel Xeon (Sapphire Rapids, 2.3 GHz) with Node.js 26: what it measured
 * are the constants below.
 */
import { number, object } from '../shape.ts'
import { ask } from './ask.ts'
import type { Finding, Host } from './probe.ts'

export type Measured = {
  readonly unitMs: number
  readonly memoryGigabytesPerSecond: number
  readonly diskSyncMs: number
}

export type Speed = {
  readonly speed: number
  readonly cpu: number
  readonly memory: number
  readonly disk: number
}

export const isSpeed = object({ speed: number, cpu: number, memory: number, disk: number }) as (
  value: unknown,
) => value is Speed

/** To be raised when the benchmark or the reference changes: what was measured before is then measured again. */
export const benchmarkVersion = 1

const reference: Measured = { unitMs: 18.5, memoryGigabytesPerSecond: 25, diskSyncMs: 4 }
const weights = { cpu: 0.87, memory: 0.1, disk: 0.03 }
const timeoutMs = 20_000

export async function measureSpeed(host: Host): Promise<Speed> {
  const script = new URL(`./benchmark.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url).pathname
  const text = await ask(process.execPath, [decodeURI(script), host.directory], {
    timeoutMs,
    env: { ...host.env, NODE_OPTIONS: '' },
    signal: host.signal,
  })
  return speedOf(JSON.parse(text) as Measured)
}

/** A weighted geometric mean. Bounded, since a disk in memory makes no machine a hundred times as fast. */
export function speedOf(measured: Measured): Speed {
  const cpu = bounded(reference.unitMs / measured.unitMs, 20)
  const memory = bounded(measured.memoryGigabytesPerSecond / reference.memoryGigabytesPerSecond, 4)
  const disk = bounded(reference.diskSyncMs / measured.diskSyncMs, 4)
  const speed = cpu ** weights.cpu * memory ** weights.memory * disk ** weights.disk
  return { speed: rounded(speed), cpu: rounded(cpu), memory: rounded(memory), disk: rounded(disk) }
}

function bounded(ratio: number, most: number): number {
  return Math.min(most, Math.max(1 / most, ratio))
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100
}

export function speedFinding({ cpu, memory, disk }: Speed): Finding {
  return { attributes: { 'speed.cpu': cpu, 'speed.memory': memory, 'speed.disk': disk } }
}
