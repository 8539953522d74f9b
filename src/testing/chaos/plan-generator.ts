/**
 * Plans from a seed. Faults strike at random times and may overlap, but at most one coordinator host
 * and one worker are in trouble at once, so that a majority exists and somebody can work; now and then
 * a round leaves that bound, and then only what holds without a majority is asked for until it is mended.
 */
import { Random } from '../sim/random.ts'
import { coordinatorHosts, needsNetwork, workerHosts, type Fault, type Plan, type Round } from './plan.ts'

type Drawn = { readonly fault: Fault; readonly zone: 'cluster' | 'workers' | 'none' }

const faultsFromMs = 1500
const faultsToMs = 16_000
const mendedAtMs = 20_000
/** A round that may lose the majority. */
const wildShare = 0.15

export function planOf(seed: number, rounds: number, network: boolean): Plan {
  return { seed, rounds: Array.from({ length: rounds }, (_, at) => roundOf(seed, at, network)) }
}

function roundOf(seed: number, at: number, network: boolean): Round {
  const random = new Random(seed, `round ${at + 1}`)
  const wanted = random.int(3, 6)
  const together = random.chance(wildShare) ? 2 : 1
  const taken: Drawn[] = []
  for (let tries = 0; tries < 60 && taken.length < wanted; tries += 1) {
    const drawn = draw(random)
    if (needsNetwork(drawn.fault) && !network) continue
    if (taken.filter((other) => clash(other, drawn)).length >= (drawn.zone === 'cluster' ? together : 1)) continue
    taken.push(drawn)
  }
  return {
    faults: taken.map((one) => one.fault).sort((a, b) => a.atMs - b.atMs),
    clients: random.int(1, 2),
    submitEveryMs: random.pick([100, 200, 400]),
    mendedAtMs,
  }
}

/** A little time between the end of one and the beginning of the other, for things to settle. */
const restMs = 700

function clash(a: Drawn, b: Drawn): boolean {
  if (a.zone !== b.zone || a.zone === 'none') return false
  const [first, second] = a.fault.atMs < b.fault.atMs ? [a.fault, b.fault] : [b.fault, a.fault]
  return first.atMs + first.forMs + restMs > second.atMs
}

function draw(random: Random): Drawn {
  const atMs = random.int(faultsFromMs, faultsToMs)
  const short = random.int(300, 3000)
  const long = random.int(2000, 9000)
  const host = random.pick(coordinatorHosts)
  const coordinator = random.pick(['leader', 'leader', 'follower', `c${host[1]}`])
  const member = random.pick(['etcd-leader', `m${host[1]}`])
  const worker = random.pick(workerHosts)
  const cluster = (fault: Fault): Drawn => ({ fault, zone: 'cluster' })
  const ofWorker = (fault: Fault): Drawn => ({ fault, zone: 'workers' })
  const cut = { type: 'cut', oneWay: false, how: 'drop', only: 'all' } as const
  const from = random.pick(['leader', 'follower', 'etcd-leader', host])
  const makers: readonly (() => Drawn)[] = [
    () => cluster({ type: 'kill', who: coordinator, atMs, forMs: short }),
    () => cluster({ type: 'kill', who: coordinator, atMs, forMs: long }),
    () => cluster({ type: 'freeze', who: coordinator, atMs, forMs: short }),
    () => cluster({ type: 'freeze', who: coordinator, atMs, forMs: long }),
    () => cluster({ type: 'kill', who: member, atMs, forMs: short }),
    () => cluster({ type: 'freeze', who: member, atMs, forMs: long }),
    () => cluster({ type: 'drain', who: coordinator, atMs, forMs: 200 }),
    () => cluster({ type: 'transfer', atMs, forMs: 0 }),
    () => cluster({ ...cut, from, to: 'others', atMs, forMs: long }),
    () => cluster({ ...cut, from, to: 'coordinators', atMs, forMs: long }),
    () => cluster({ ...cut, from, to: 'others', oneWay: true, atMs, forMs: long }),
    () => cluster({ ...cut, from: 'others', to: from, oneWay: true, atMs, forMs: long }),
    () => cluster({ ...cut, from, to: host, oneWay: random.chance(0.5), atMs, forMs: long }),
    () => cluster({ ...cut, from, to: 'coordinators', only: random.pick(['etcd', 'log']), atMs, forMs: long }),
    () => cluster({ ...cut, from, to: 'others', how: 'reset', atMs, forMs: random.int(200, 1500) }),
    () => cluster({ type: 'loss', who: from, share: random.int(5, 40) / 100, atMs, forMs: long }),
    () => cluster({ type: 'slow', who: from, kbit: random.pick([256, 1000, 4000]), atMs, forMs: long }),
    () => cluster({ type: 'full-disk', who: coordinator, atMs, forMs: long }),
    () => cluster({ type: 'full-disk', who: member, atMs, forMs: short }),
    () => ofWorker({ type: 'kill', who: worker, tree: random.chance(0.5), atMs, forMs: short }),
    () => ofWorker({ type: 'freeze', who: worker, tree: random.chance(0.5), atMs, forMs: random.int(500, 9000) }),
    () => ofWorker({ ...cut, from: worker, to: 'coordinators', atMs, forMs: random.int(1000, 10_000) }),
    () => ofWorker({ ...cut, from: worker, to: 'coordinators', oneWay: true, atMs, forMs: random.int(1000, 10_000) }),
    () => ofWorker({ ...cut, from: 'coordinators', to: worker, oneWay: true, atMs, forMs: random.int(1000, 10_000) }),
    () => ofWorker({ ...cut, from: worker, to: host, atMs, forMs: long }),
    () => ofWorker({ ...cut, from: worker, to: 'coordinators', how: 'reset', atMs, forMs: random.int(200, 1500) }),
    () => ofWorker({ type: 'loss', who: worker, share: random.int(5, 40) / 100, atMs, forMs: long }),
    () => ofWorker({ type: 'full-disk', who: worker, atMs, forMs: long }),
    () => ({ zone: 'none', fault: { ...cut, from: 'client', to: host, atMs, forMs: long } }),
    () => ({ zone: 'none', fault: { ...cut, from: 'client', to: 'coordinators', how: 'reset', atMs, forMs: 300 } }),
  ]
  return random.pick(makers)()
}

/** For CI: what is most worth to be seen each time, in two rounds. */
export function shortPlan(seed: number, network: boolean): Plan {
  const load = { clients: 1, submitEveryMs: 200 }
  const cut = { type: 'cut', oneWay: false, how: 'drop', only: 'all' } as const
  return {
    seed,
    rounds: [
      {
        ...load,
        faults: [
          { type: 'kill', who: 'leader', atMs: 2500, forMs: 1500 },
          { type: 'freeze', who: 'leader', atMs: 6500, forMs: 2500 },
          { type: 'kill', who: 'etcd-leader', atMs: 10_500, forMs: 1000 },
        ],
        mendedAtMs: 13_000,
      },
      {
        ...load,
        faults: network
          ? [
              { ...cut, from: 'w1', to: 'coordinators', atMs: 1500, forMs: 8500 },
              { ...cut, from: 'leader', to: 'others', atMs: 3000, forMs: 4000 },
            ]
          : [
              { type: 'freeze', who: 'w1', tree: true, atMs: 1500, forMs: 8500 },
              { type: 'freeze', who: 'etcd-leader', atMs: 3000, forMs: 4000 },
            ],
        mendedAtMs: 11_000,
      },
    ],
  }
}
