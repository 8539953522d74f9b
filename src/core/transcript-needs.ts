/**
 * The part of transcripts that is about needs. `submit R a b needs=cpus:1,lock:db;gpus:2 kinds=0,1 deps=1<0 after=Q`:
 * two needs, the second for b, which comes after a, and all of it after run Q has passed (`Q:finished`: has ended).
 * Locks: `lock:NAME`, `shared:NAME`, `counted:NAME/2`. `join W gpus=0:8,1:16 memory=32` and `assign R W 0 gpus=1 memory=5`.
 */
import type { Capabilities, Grant, Lock, Need, RunSpec, TaskDependency } from './entities.ts'

type Options = Readonly<Record<string, string>>

export function needsOf(options: Options): Partial<RunSpec> {
  const { needs, after, onfail } = options
  return {
    ...(needs === undefined ? {} : { needs: needs.split(';').map(need) }),
    ...(after === undefined
      ? {}
      : {
          after: after.split(',').map((one) => {
            const [run = '', when] = one.split(':')
            return { run, when: when === 'finished' ? 'finished' : 'passed' } as const
          }),
        }),
    ...(onfail === 'run' ? { onDependencyFailure: 'run' } : {}),
  }
}

export function kindsOf({ kinds, deps }: Options): {
  readonly kinds?: number[]
  readonly dependencies?: TaskDependency[]
} {
  return {
    ...(kinds === undefined ? {} : { kinds: kinds.split(',').map(Number) }),
    ...(deps === undefined
      ? {}
      : {
          dependencies: deps.split(',').map((one) => {
            const [task, after = ''] = one.split('<')
            return { task: Number(task), after: after.split('+').map(Number) }
          }),
        }),
  }
}

export function offersOf({ gpus, memory }: Options): Partial<Capabilities> {
  return {
    ...(memory === undefined ? {} : { memoryBytes: Number(memory) }),
    ...(gpus === undefined
      ? {}
      : {
          gpus: gpus.split(',').map((one) => {
            const [id = '', memoryBytes] = one.split(':')
            return { id, vendor: 'nvidia', name: 'card', memoryBytes: Number(memoryBytes) } as const
          }),
        }),
  }
}

export function grantGiven({ gpus, memory }: Options): { readonly grant?: Grant } {
  if (gpus === undefined && memory === undefined) return {}
  return {
    grant: {
      ...(memory === undefined ? {} : { memoryBytes: Number(memory) }),
      ...(gpus === undefined ? {} : { gpus: gpus.split(',') }),
    },
  }
}

export function showGrant(grant: Grant | undefined): string {
  if (grant === undefined) return ''
  const { memoryBytes, gpus } = grant
  return `${memoryBytes === undefined ? '' : ` with ${memoryBytes} bytes`}${gpus === undefined ? '' : ` with GPUs ${gpus.join(' ')}`}`
}

function need(text: string): Need {
  const locks: Lock[] = []
  const rest: Record<string, unknown> = {}
  for (const part of text.split(',')) {
    const [key = '', value = ''] = part.split(':')
    if (key === 'lock') locks.push({ name: value, mode: 'exclusive' })
    else if (key === 'shared') locks.push({ name: value, mode: 'shared' })
    else if (key === 'counted')
      locks.push({ name: value.split('/')[0]!, mode: 'counted', max: Number(value.split('/')[1]) })
    else if (key === 'gpus') rest['gpus'] = { count: Number(value) }
    else if (key === 'memory') rest['memoryBytes'] = Number(value)
    else if (key === 'anti') rest['antiAffinity'] = value
    else if (key === 'exclusive') rest['exclusive'] = true
    else if (key !== 'none') rest[key] = Number(value)
  }
  return { ...rest, ...(locks.length === 0 ? {} : { locks }) }
}
