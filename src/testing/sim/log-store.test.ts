/**
 * The simulated log's medium answers as the real shared logs do: random histories of claims, appends,
 * reads, snapshots and trims by several writers, on a real three-member etcd and on the log in memory,
 * each repeated on the model. Epochs are compared by their order: how large they are is each log's own.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { EtcdCluster } from '../../log/fixtures/etcd-cluster.ts'
import { EtcdMedium } from '../../log/fixtures/etcd-medium.ts'
import type { Head, SharedLog } from '../../log/log.ts'
import { MemorySharedLog, MemorySharedMedium } from '../../log/memory-shared.ts'
import { LogStore } from './log-store.ts'
import { Random } from './random.ts'

const text = (words: string): Uint8Array => new TextEncoder().encode(words)
const words = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** What both are asked, by a writer; epochs are numbers of claims, 0 = before the first. */
type Step =
  | { readonly type: 'claim'; readonly from: number }
  | { readonly type: 'append'; readonly epoch: number; readonly position: number; readonly bytes: string }
  | { readonly type: 'read'; readonly from: number }
  | { readonly type: 'head' | 'leadership' | 'snapshot' }
  | { readonly type: 'putSnapshot'; readonly position: number }
  | { readonly type: 'trim'; readonly below: number }

/** A log with its epochs numbered. */
class Numbered {
  readonly #epochs: number[] = [0]

  real(number: number): number {
    return this.#epochs[number] ?? 0
  }

  number(epoch: number): number {
    const known = this.#epochs.indexOf(epoch)
    return known === -1 ? this.#epochs.push(epoch) - 1 : known
  }

  head({ position, epoch, firstPosition }: Head): Head {
    return { position, epoch: this.number(epoch), firstPosition }
  }
}

async function askLog(log: SharedLog, numbers: Numbered, writer: number, step: Step): Promise<unknown> {
  switch (step.type) {
    case 'claim': {
      const head = await log.claimFrom(numbers.real(step.from), `writer ${writer}`)
      return head ? numbers.head(head) : 'lost'
    }
    case 'append': {
      const result = await log.append(numbers.real(step.epoch), step.position, text(step.bytes))
      return result.type === 'fenced' ? { type: 'fenced', epoch: numbers.number(result.epoch) } : result
    }
    case 'read': {
      const result = await log.read(step.from, 1_000_000)
      if (result.type === 'trimmed') return result
      return result.entries.map(({ position, epoch, bytes }) => [position, numbers.number(epoch), words(bytes)])
    }
    case 'head':
      return numbers.head(await log.head())
    case 'leadership': {
      const { epoch, owner } = await log.leadership()
      return [numbers.number(epoch), owner]
    }
    case 'snapshot':
      return (await log.getSnapshot())?.position
    case 'putSnapshot': {
      const { epoch } = await log.leadership()
      await log.putSnapshot(epoch, { position: step.position, bytes: text(`at ${step.position}`) })
      return undefined
    }
    case 'trim':
      await log.trim(step.below)
      return undefined
  }
}

function askModel(store: LogStore, numbers: Numbered, writer: number, step: Step): unknown {
  switch (step.type) {
    case 'claim': {
      const head = store.claim(numbers.real(step.from), `writer ${writer}`)
      return head === 'lost' ? 'lost' : numbers.head(head)
    }
    case 'append': {
      const result = store.append(numbers.real(step.epoch), step.position, text(step.bytes), `${writer}`)
      return result.type === 'fenced' ? { type: 'fenced', epoch: numbers.number(result.epoch) } : { type: result.type }
    }
    case 'read': {
      const result = store.read(step.from, 1_000_000)
      if (result.type === 'trimmed') return result
      return result.entries.map(({ position, epoch, bytes }) => [position, numbers.number(epoch), words(bytes)])
    }
    case 'head':
      return numbers.head(store.head())
    case 'leadership':
      return [numbers.number(store.epoch), store.owner]
    case 'snapshot':
      return store.snapshots.at(-1)?.position
    case 'putSnapshot':
      return store.putSnapshot({ position: step.position, bytes: text(`at ${step.position}`) })
    case 'trim':
      return store.trim(step.below)
  }
}

/** Mostly what a leader would ask; often enough what one that was replaced, or repeats itself, would. */
function drawStep(random: Random, store: LogStore, claims: number): Step {
  const recent = (newest: number): number => Math.max(0, newest - (random.chance(0.3) ? random.int(1, 2) : 0))
  const newestSnapshot = store.snapshots.at(-1)?.position ?? 0
  return random.pick<() => Step>([
    () => ({ type: 'claim', from: recent(claims) }),
    ...Array.from({ length: 5 }, () => (): Step => {
      const position = Math.max(1, store.lastPosition + 1 - (random.chance(0.3) ? random.int(1, 2) : 0))
      const bytes = `${position} ${random.chance(0.8) ? 'a' : 'b'}`
      return { type: 'append', epoch: recent(claims), position, bytes }
    }),
    () => ({ type: 'read', from: random.int(1, store.lastPosition + 1) }),
    () => ({ type: random.pick(['head', 'leadership', 'snapshot'] as const) }),
    () => ({ type: 'putSnapshot', position: random.int(newestSnapshot, store.lastPosition) }),
    () => ({ type: 'trim', below: Math.max(1, random.int(store.firstPosition, newestSnapshot + 1)) }),
  ])()
}

/** `met`: which kinds of answers there were. */
async function compare(seed: number, steps: number, logs: readonly SharedLog[], met: Set<string>): Promise<void> {
  const random = new Random(seed, 'history')
  const store = new LogStore()
  const [real, model] = [new Numbered(), new Numbered()]
  const history: string[] = []
  let claims = 0
  for (let at = 0; at < steps; at += 1) {
    const writer = random.int(0, logs.length - 1)
    const step = drawStep(random, store, claims)
    // Neither a snapshot nor a claim of nothing means anything.
    if (step.type === 'putSnapshot' && (claims === 0 || step.position === 0)) continue
    history.push(`${writer}: ${JSON.stringify(step)}`)
    const [expected, answered] = [await askLog(logs[writer]!, real, writer, step), askModel(store, model, writer, step)]
    assert.deepEqual(answered, expected, `seed ${seed}, after\n${history.slice(-8).join('\n')}`)
    const kind = (expected as { type?: string } | undefined)?.type ?? (expected === 'lost' ? 'lost' : 'answered')
    met.add(`${step.type} ${kind}`)
    claims = model.number(store.epoch)
  }
}

const rare = ['append fenced', 'append ok', 'append taken', 'claim answered', 'claim lost', 'read trimmed'] as const

test('the model answers as the shared log in memory', async () => {
  const met = new Set<string>()
  for (let seed = 1; seed <= 100; seed += 1) {
    const medium = new MemorySharedMedium()
    const logs = [1, 2, 3].map(() => new MemorySharedLog(medium))
    await compare(seed, 80, logs, met)
    for (const log of logs) await log[Symbol.asyncDispose]()
  }
  for (const what of rare) assert.ok(met.has(what), what)
})

let cluster: EtcdCluster
before(async () => {
  cluster = await EtcdCluster.start()
})
after(() => cluster[Symbol.asyncDispose]())

test('the model answers as etcd', async () => {
  const met = new Set<string>()
  for (let seed = 1; seed <= 8; seed += 1) {
    const medium = new EtcdMedium(cluster)
    const logs = await Promise.all([medium.openDirectly(), medium.openDirectly()])
    await compare(seed, 60, logs, met)
    for (const log of logs) await log[Symbol.asyncDispose]()
    await medium.remove()
  }
  for (const what of rare) assert.ok(met.has(what), what)
})
