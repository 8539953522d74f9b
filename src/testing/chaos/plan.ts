/**
 * What a session of chaos does, as plain data: rounds, and in each what is asked of the cluster and
 * which faults strike when. Drawn from a seed by plan-generator.ts, but explicit, so that a failing
 * round can be written down and played again. Processes are real: the same plan gives the same
 * faults at the same times, and never quite the same history.
 *
 * Hosts: `h1` `h2` `h3`, each with a coordinator (`c1` …) and an etcd member (`m1` …); `w1` … with a
 * worker each; `client`. Roles are looked up when the fault strikes: `leader` and `follower` name a
 * coordinator or its host, `etcd-leader` a member or its host, `others` every host but the other side,
 * `coordinators` the three.
 */
type Lasting = { readonly atMs: number; readonly forMs: number }

export type Fault = Lasting &
  (
    | {
        readonly type:
          /** SIGKILL; started again when the time is over. */
          | 'kill'
          /** SIGSTOP, then SIGCONT. */
          | 'freeze'
        readonly who: string
        /** Of a worker: with the tests that it runs, and all else that it started. */
        readonly tree?: boolean
      }
    /** SIGTERM: it hands over, ends, and is started again when the time is over. */
    | { readonly type: 'drain'; readonly who: string }
    /** Leadership is handed over. */
    | { readonly type: 'transfer' }
    /** Packets from one host to another are dropped or answered with a reset. */
    | {
        readonly type: 'cut'
        readonly from: string
        readonly to: string
        readonly oneWay: boolean
        readonly how: 'drop' | 'reset'
        /** `etcd`: only what etcd members say to each other. `log`: only what coordinators ask of etcd. */
        readonly only: 'all' | 'etcd' | 'log'
      }
    /** This share of the packets that reach the host is dropped. */
    | { readonly type: 'loss'; readonly who: string; readonly share: number }
    /** The host sends no more than this. */
    | { readonly type: 'slow'; readonly who: string; readonly kbit: number }
    /** No byte more can be written to its data directory. */
    | { readonly type: 'full-disk'; readonly who: string }
  )

export type Round = {
  readonly faults: readonly Fault[]
  /** `muster run` one after the other, as many at a time. */
  readonly clients: number
  /** Time from one submission through the API to the next. */
  readonly submitEveryMs: number
  /** Then everything is mended, no new run begins, and progress is demanded. */
  readonly mendedAtMs: number
}

export type Plan = { readonly seed: number; readonly rounds: readonly Round[] }

export const coordinatorHosts = ['h1', 'h2', 'h3'] as const
export const workerHosts = ['w1', 'w2', 'w3'] as const
export const clientHost = 'client'
export const hosts: readonly string[] = [...coordinatorHosts, ...workerHosts, clientHost]

/** Only where hosts have a network of their own. */
export const needsNetwork = (fault: Fault): boolean =>
  fault.type === 'cut' || fault.type === 'loss' || fault.type === 'slow'

/** For people, in a line's breadth. */
export function faultWords(fault: Fault): string {
  const lasting = `${(fault.atMs / 1000).toFixed(1)}+${(fault.forMs / 1000).toFixed(1)}s`
  switch (fault.type) {
    case 'cut': {
      const arrow = fault.oneWay ? '→' : '↔'
      const only = fault.only === 'all' ? '' : ` (${fault.only})`
      return `${fault.how === 'reset' ? 'reset' : 'cut'} ${fault.from}${arrow}${fault.to}${only} ${lasting}`
    }
    case 'loss':
      return `loss ${Math.round(fault.share * 100)}% ${fault.who} ${lasting}`
    case 'slow':
      return `${fault.kbit} kbit/s ${fault.who} ${lasting}`
    case 'transfer':
      return `transfer ${(fault.atMs / 1000).toFixed(1)}s`
    case 'kill':
    case 'freeze':
      return `${fault.type} ${fault.who}${fault.tree === true ? ' and tests' : ''} ${lasting}`
    default:
      return `${fault.type} ${fault.who} ${lasting}`
  }
}
