/**
 * A plan from a seed. `safety`: some of everything, one after the other and at once. `harsh`: the same,
 * denser. `liveness`: few faults first; then a part of the cluster stays broken for good (one
 * coordinator, one worker, one direction of one path) and the rest must get along.
 */
import type { Fault, Order, Plan, Profile, TaskKind } from './plan.ts'
import { builtinStrategies } from '../../scheduling/strategies/builtin.ts'
import { pluginSchedulers } from './hostile-schedulers.ts'
import { Random } from './random.ts'

const kinds: readonly (readonly [TaskKind, number])[] = [
  ['pass', 12],
  ['slow', 4],
  ['flaky', 3],
  ['fail', 2],
  ['skip', 1],
  ['crash-once', 1],
  ['crash', 1],
  ['hang-once', 1],
  ['hang', 0.5],
]
const kindsTotal = kinds.reduce((sum, [, weight]) => sum + weight, 0)

type Shape = { readonly faultsMin: number; readonly faultsMax: number; readonly spanMs: number }
const shapes: Readonly<Record<Profile, Shape>> = {
  safety: { faultsMin: 2, faultsMax: 8, spanMs: 6000 },
  liveness: { faultsMin: 0, faultsMax: 4, spanMs: 4000 },
  harsh: { faultsMin: 10, faultsMax: 26, spanMs: 9000 },
}

export function planOf(seed: number, profile: Profile): Plan {
  const random = new Random(seed, `plan ${profile}`)
  const shape = shapes[profile]
  const coordinators = random.chance(0.8) ? 3 : random.pick([1, 2, 5])
  const workers = Array.from({ length: random.int(1, 4) }, () => random.int(1, 4))
  const clients = random.int(1, 3)
  const old = random.chance(0.15) ? [coordinatorName(random, coordinators)] : []
  const faults: Fault[] = []
  const count = random.int(shape.faultsMin, shape.faultsMax)
  for (let at = 0; at < count; at += 1) faults.push(drawFault(random, shape.spanMs, coordinators, workers.length))
  if (random.chance(profile === 'harsh' ? 0.5 : 0.2)) {
    faults.push(...drawScene(random, shape.spanMs, coordinators, workers.length))
  }
  if (old.length > 0) {
    const [who = 'c1'] = old
    faults.push({ type: 'crash', who, atMs: random.int(1000, shape.spanMs), forMs: random.int(50, 500) })
  }
  if (random.chance(0.4)) faults.push({ type: 'snapshot', atMs: random.int(500, shape.spanMs), forMs: 0 })
  faults.sort((a, b) => a.atMs - b.atMs)
  const schedulers = random.fork('schedulers')
  const orders = drawOrders(random, clients, workers.length, shape.spanMs)
  return {
    seed,
    profile,
    coordinators,
    workers,
    clients,
    old,
    orders: withSchedulers(schedulers, orders, shape.spanMs),
    ...(schedulers.chance(0.1) ? { bare: [coordinatorName(schedulers, coordinators)] } : {}),
    faults,
    mendedAtMs: shape.spanMs + 500,
    remains:
      profile === 'liveness' && coordinators >= 3 ? drawRemains(random, shape, coordinators, workers.length) : [],
  }
}

const coordinatorName = (random: Random, coordinators: number): string => `c${random.int(1, coordinators)}`

function drawKinds(random: Random, most: number): TaskKind[] {
  return Array.from({ length: random.int(1, most) }, () => {
    let left = random.unit() * kindsTotal
    for (const [kind, weight] of kinds) {
      left -= weight
      if (left < 0) return kind
    }
    return 'pass'
  })
}

function drawOrders(random: Random, clients: number, workers: number, spanMs: number): Order[] {
  const orders: Order[] = []
  const needy = random.fork('asks')
  const runs = random.int(1, 4)
  for (let at = 1; at <= runs; at += 1) {
    const run = `r${at}`
    const client = random.int(1, clients)
    const atMs = random.int(50, Math.floor(spanMs * 0.7))
    const open = random.chance(0.2)
    orders.push({
      type: 'submit',
      run,
      client,
      atMs,
      tasks: drawKinds(random, 12),
      retries: random.int(0, 2),
      maxFailures: random.chance(0.15) ? 2 : 0,
      open,
      cpus: random.chance(0.5) ? 1 : 0,
      backoffMs: random.chance(0.2) ? 200 : 0,
      broken: random.chance(0.06),
      elsewhere: random.chance(0.15),
      ...(needy.chance(0.5) ? { asks: needy.int(1, 1_000_000) } : {}),
      ...(at > 1 && needy.chance(0.15) ? { after: `r${at - 1}` } : {}),
    })
    const after = (): number => atMs + random.int(50, 3000)
    if (open) {
      orders.push({ type: 'extend', run, client, atMs: after(), tasks: drawKinds(random, 4) })
      orders.push({ type: 'seal', run, client, atMs: atMs + 3100 })
    }
    if (random.chance(0.15)) orders.push({ type: 'cancel', run, client, atMs: after(), drain: random.chance(0.5) })
    if (random.chance(0.15)) {
      const pausedMs = after()
      orders.push({ type: 'pause', run, client, atMs: pausedMs })
      orders.push({ type: 'resume', run, client, atMs: pausedMs + random.int(100, 2000) })
    }
    if (random.chance(0.15))
      orders.push({ type: 'prioritise', run, client, atMs: after(), priority: random.int(-3, 3) })
    for (let reads = random.int(0, 3); reads > 0; reads -= 1) orders.push({ type: 'read', run, client, atMs: after() })
  }
  if (workers > 1 && random.chance(0.15)) {
    orders.push({ type: 'drain', run: '', client: 1, atMs: random.int(500, spanMs), worker: random.int(1, workers) })
  }
  return orders.sort((a, b) => a.atMs - b.atMs)
}

const schedulerNames = [...builtinStrategies.map((one) => one.name), ...pluginSchedulers, ...pluginSchedulers]

/** Half of the plans know nothing of schedulers: what they found before they find again. */
function withSchedulers(random: Random, orders: readonly Order[], spanMs: number): readonly Order[] {
  if (random.chance(0.5)) return orders
  const several = random.chance(0.5)
  const choose = (atMs: number): Order => {
    const project = several && random.chance(0.6) ? { project: random.pick(['p', 'q']) } : {}
    const strategy = random.chance(0.9) ? { strategy: random.pick(schedulerNames) } : {}
    return { type: 'choose', run: '', client: 1, atMs, ...project, ...strategy }
  }
  // The first ones early: before there is a format for it they are refused.
  const choices = Array.from({ length: random.int(1, 3) }, () => choose(random.int(200, 1500)))
  for (let more = random.int(0, 2); more > 0; more -= 1) choices.push(choose(random.int(500, spanMs)))
  const owned = orders.map((order) =>
    order.type === 'submit' && several && random.chance(0.5) ? { ...order, project: 'q' } : order,
  )
  return [...owned, ...choices].sort((a, b) => a.atMs - b.atMs)
}

function drawFault(random: Random, spanMs: number, coordinators: number, workers: number): Fault {
  const atMs = random.int(300, spanMs)
  const forMs = Math.round(random.delay(20, 900, 5000))
  const coordinator = coordinatorName(random, coordinators)
  const worker = `w${random.int(1, workers)}`
  const anybody = random.pick([coordinator, coordinator, worker])
  const share = 0.2 + random.unit() * 0.8
  const makes: readonly (readonly [number, () => Fault])[] = [
    [4, () => ({ type: 'crash', who: coordinator, atMs, forMs })],
    [2, () => ({ type: 'restart', who: coordinator, atMs, forMs })],
    [1, () => ({ type: 'power-loss', who: coordinator, atMs, forMs: forMs + 300 })],
    [4, () => ({ type: 'pause', who: coordinator, atMs, forMs })],
    [3, () => ({ type: 'isolate', who: anybody, atMs, forMs })],
    [3, () => drawCut(random, coordinators, workers, { atMs, forMs })],
    [2, () => ({ type: 'reset', who: anybody, to: coordinatorName(random, coordinators), atMs, forMs: 0 })],
    [2, () => ({ type: 'delay', who: anybody, atMs, forMs, extraMs: random.int(5, 400) })],
    [1, () => ({ type: 'clock-jump', who: anybody, atMs, forMs: 0, byMs: random.int(-600_000, 600_000) })],
    [2, () => ({ type: 'lost-reply', who: random.pick(['*', coordinator]), atMs, forMs, share })],
    [1, () => ({ type: 'lost-request', who: coordinator, atMs, forMs, share })],
    [2, () => ({ type: 'late-effect', who: random.pick(['*', coordinator]), atMs, forMs, share, lateMs: 1500 })],
    [1, () => ({ type: 'duplicate', who: '*', atMs, forMs, share })],
    [1, () => ({ type: 'lost-hint', who: random.pick(['*', coordinator]), atMs, forMs, share })],
    [1, () => ({ type: 'slow-disk', atMs, forMs, extraMs: random.int(20, 600) })],
    [1, () => ({ type: 'full-disk', atMs, forMs })],
    [1, () => ({ type: 'no-quorum', atMs, forMs })],
    [1, () => ({ type: 'transfer', who: coordinator, atMs, forMs: 0 })],
    [0.5, () => ({ type: 'older-binary', who: coordinator, atMs, forMs })],
    [2, () => ({ type: 'worker-crash', who: worker, atMs, forMs })],
    [2, () => ({ type: 'worker-pause', who: worker, atMs, forMs: forMs * 2 })],
    [1, () => ({ type: 'executor-crash', who: worker, atMs, forMs: 0 })],
    [1, () => ({ type: 'worker-broken', who: worker, atMs, forMs: forMs * 2 })],
    [1, () => ({ type: 'snapshot', atMs, forMs: 0 })],
    // All coordinators at once, as in a careless upgrade: workers are on their own.
    [0.5, () => ({ type: 'crash', who: '*', atMs, forMs: forMs + 1000 })],
  ]
  let left = random.unit() * makes.reduce((sum, [weight]) => sum + weight, 0)
  for (const [weight, make] of makes) {
    left -= weight
    if (left < 0) return make()
  }
  return makes[0]![1]()
}

/** Faults that only mean something together. */
function drawScene(random: Random, spanMs: number, coordinators: number, workers: number): Fault[] {
  const atMs = random.int(500, spanMs - 2000)
  const someWorker = (): string => `w${random.int(1, workers)}`
  return random.pick([
    // Cut off from the log and the other coordinators, but not from workers; those change over, and back.
    (): Fault[] => {
      const zombie = coordinatorName(random, coordinators)
      const others = ['log', ...names('c', coordinators)].filter((name) => name !== zombie)
      const span = { atMs, forMs: random.int(1000, 5000) }
      return [
        ...others.flatMap((other): Fault[] => [
          { type: 'cut', who: zombie, to: other, ...span },
          { type: 'cut', who: other, to: zombie, ...span },
        ]),
        ...Array.from({ length: 4 }, (): Fault => {
          const to = coordinatorName(random, coordinators)
          return { type: 'reset', who: someWorker(), to, atMs: atMs + random.int(400, 2000), forMs: 0 }
        }),
      ]
    },
    // Away for longer than its lease, and back.
    (): Fault[] => [{ type: 'isolate', who: someWorker(), atMs, forMs: random.int(2500, 7000) }],
    // It hears, and nobody hears it; or the other way round.
    (): Fault[] => {
      const worker = someWorker()
      const away = { atMs, forMs: random.int(1500, 6000) }
      return [{ type: 'cut', ...(random.chance(0.5) ? { who: worker, to: '*' } : { who: '*', to: worker }), ...away }]
    },
    // A host goes, and while the others sort that out, the log is slow.
    (): Fault[] => [
      { type: 'power-loss', who: coordinatorName(random, coordinators), atMs, forMs: 3000 },
      { type: 'no-quorum', atMs: atMs + random.int(0, 50), forMs: random.int(300, 1200) },
    ],
    // One coordinator after the other, as in an upgrade.
    (): Fault[] => {
      return names('c', coordinators).map((who, at) => ({ type: 'restart', who, atMs: atMs + at * 600, forMs: 300 }))
    },
    // Two snapshots, so that the log is trimmed, and somebody who was away for both.
    (): Fault[] => {
      const who = coordinatorName(random, coordinators)
      return [
        { type: 'pause', who, atMs, forMs: 2500 },
        { type: 'lost-hint', who, atMs: atMs - 200, forMs: 3000, share: 1 },
        ...[600, 1200, 1800].map((afterMs): Fault => ({ type: 'snapshot', atMs: atMs + afterMs, forMs: 0 })),
      ]
    },
  ])()
}

function drawCut(random: Random, coordinators: number, workers: number, span: { atMs: number; forMs: number }): Fault {
  const hosts = ['log', ...names('c', coordinators), ...names('c', coordinators), ...names('w', workers)]
  const who = random.pick(hosts)
  const to = random.pick(hosts.filter((host) => host !== who))
  return { type: 'cut', who, to, ...span }
}

const names = (letter: string, count: number): string[] =>
  Array.from({ length: count }, (_, at) => `${letter}${at + 1}`)

/** Broken for good; what is left is a majority that sees the log, and one worker at least. */
function drawRemains(random: Random, shape: Shape, coordinators: number, workers: number): Fault[] {
  const atMs = shape.spanMs + random.int(0, 500)
  const forMs = 1_000_000
  const who = coordinatorName(random, coordinators)
  const others = names('c', coordinators).filter((name) => name !== who)
  const to = random.pick(others)
  const remains: Fault[] = [
    random.pick<Fault>([
      { type: 'isolate', who, atMs, forMs },
      { type: 'pause', who, atMs, forMs },
      { type: 'power-loss', who, atMs, forMs },
      { type: 'cut', who, to, atMs, forMs },
      { type: 'cut', who: to, to: who, atMs, forMs },
      { type: 'cut', who: 'log', to: who, atMs, forMs },
      { type: 'cut', who, to: 'log', atMs, forMs },
      { type: 'delay', who, atMs, forMs, extraMs: 150 },
      { type: 'lost-hint', who, atMs, forMs, share: 1 },
    ]),
  ]
  if (workers > 1 && random.chance(0.3))
    remains.push({ type: 'isolate', who: `w${random.int(1, workers)}`, atMs, forMs })
  return remains
}
