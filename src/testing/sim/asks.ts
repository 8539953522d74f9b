/**
 * What a run of a plan needs, and what comes before what in it, from one number: so that a plan stays small, and a
 * shrunk one still means something. Every worker has what any of it takes, so that whoever is left can run all of it.
 */
import type { Lock, Need, TaskDependency } from '../../core/entities.ts'
import type { Shares } from '../../core/shares.ts'
import { Random } from './random.ts'

/** Quotas of the second and the third client. */
export const simShares: Shares = new Map([
  ['user:u2', { cpus: 2, gpus: 2 }],
  ['user:u3', { cpus: 1, gpus: 1, weight: 2 }],
])

export function simCapabilities(cpus: number, host: string) {
  return {
    os: 'linux',
    arch: 'x64',
    cpus,
    memoryBytes: 8,
    host,
    labels: {},
    tools: {},
    gpus: Array.from({ length: Math.max(1, cpus >> 1) }, (_, at) => {
      return { id: String(at), vendor: 'nvidia', name: 'card', memoryBytes: 8 } as const
    }),
    resources: { licence: 1 + (cpus >> 1) },
    speed: cpus % 2 === 0 ? 2 : 1,
  }
}

export type Asked = {
  readonly needs: readonly Need[]
  readonly kinds: readonly number[]
  readonly dependencies: readonly TaskDependency[]
}

/** Of the first `count` tasks of a run; dependencies are between neighbours, so that chains come about. */
export function askedBy(asks: number, count: number): Asked {
  const random = new Random(asks, 'asks')
  const needs = Array.from({ length: random.int(1, 3) }, () => drawNeed(random))
  const kinds = Array.from({ length: count }, () => random.int(0, needs.length - 1))
  const dependencies: TaskDependency[] = []
  const linked = random.chance(0.5)
  for (let task = 1; task < count; task += 1) {
    const after = [random.int(0, task - 1), random.int(Math.max(0, task - 3), task - 1)]
    if (linked && random.chance(0.5)) dependencies.push({ task, after: [...new Set(after)] })
  }
  return { needs, kinds, dependencies }
}

function drawNeed(random: Random): Need {
  const exclusive = random.chance(0.6)
  return {
    ...(random.chance(0.5) ? { cpus: 1 } : {}),
    ...(random.chance(0.2) ? { memoryBytes: random.pick([4, 8]) } : {}),
    ...(random.chance(0.25) ? { gpus: { count: 1, memoryBytes: 4, exclusive } } : {}),
    ...(random.chance(0.2) ? { resources: { licence: 1 } } : {}),
    ...(random.chance(0.4) ? { locks: [drawLock(random)] } : {}),
    ...(random.chance(0.1) ? { exclusive: true } : {}),
    ...(random.chance(0.15) ? { antiAffinity: 'apart' } : {}),
    ...(random.chance(0.1) ? { spread: 'even' } : {}),
    ...(random.chance(0.2) ? { affinity: 'warm' } : {}),
    ...(random.chance(0.3) ? { batchMax: random.int(1, 2) } : {}),
  }
}

function drawLock(random: Random): Lock {
  const name = random.pick(['db', 'net'])
  return random.chance(0.2)
    ? { name, mode: 'counted', max: random.int(1, 2) }
    : { name, mode: random.pick(['exclusive', 'shared']) }
}
