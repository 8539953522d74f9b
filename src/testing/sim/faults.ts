/** What each fault does to the cluster, and how it is undone. */
import { noTrouble, type LogTrouble } from './log-access.ts'
import type { Fault } from './plan.ts'
import type { Cluster } from './cluster.ts'

const nothing = (): void => {}

/** Strikes; returns what mends it. */
export function strike(cluster: Cluster, fault: Fault): () => void {
  const { network, store, count } = cluster
  count.reached(`fault: ${fault.type}`)
  switch (fault.type) {
    case 'crash':
    case 'power-loss':
    case 'older-binary':
      return down(cluster, fault)
    case 'restart':
      return cluster.restart(fault.who)
    case 'pause':
    case 'worker-pause':
      return each(cluster, fault.who, (name) => cluster.pause(name))
    case 'worker-crash':
      return each(cluster, fault.who, (name) => cluster.kill(name, false))
    case 'executor-crash':
      cluster.worker(fault.who)?.executor.crash()
      return nothing
    case 'worker-broken':
      cluster.broken.add(fault.who)
      return () => void cluster.broken.delete(fault.who)
    case 'isolate':
      return each(cluster, fault.who, (name) => {
        network.cut(name, '*')
        network.cut('*', name)
        return () => {
          network.mend(name, '*')
          network.mend('*', name)
        }
      })
    case 'cut':
      network.cut(fault.who, fault.to)
      return () => network.mend(fault.who, fault.to)
    case 'reset':
      network.reset(fault.who, fault.to)
      return nothing
    case 'delay':
      network.slow(fault.who, fault.extraMs)
      return () => network.slow(fault.who, -fault.extraMs)
    case 'clock-jump':
      cluster.host(fault.who).skewMs += fault.byMs
      return nothing
    case 'lost-request':
      return trouble(cluster, fault.who, { lostRequest: fault.share * 0.6 })
    case 'lost-reply':
      return trouble(cluster, fault.who, { lostReply: fault.share })
    case 'duplicate':
      return trouble(cluster, fault.who, { duplicate: fault.share })
    case 'lost-hint':
      return trouble(cluster, fault.who, { lostHint: fault.share })
    case 'late-effect':
      return trouble(cluster, fault.who, { late: fault.share * 0.7, lateMs: fault.lateMs })
    case 'slow-disk':
      store.slowMs += fault.extraMs
      return () => {
        store.slowMs -= fault.extraMs
      }
    case 'full-disk':
      store.full += 1
      return () => {
        store.full -= 1
      }
    case 'no-quorum':
      store.away += 1
      return () => {
        store.away -= 1
      }
    case 'transfer':
      cluster.transfer(fault.who)
      return nothing
    case 'snapshot':
      for (const coordinator of cluster.coordinators()) coordinator.requestSnapshot()
      return nothing
  }
}

function each(cluster: Cluster, who: string, one: (name: string) => () => void): () => void {
  const names = who === '*' ? cluster.coordinatorNames : [who]
  const mends = names.map(one)
  return () => {
    for (const mend of mends) mend()
  }
}

function down(cluster: Cluster, fault: { readonly type: Fault['type']; readonly who: string }): () => void {
  if (fault.type === 'older-binary') cluster.old.add(fault.who)
  const mend = each(cluster, fault.who, (name) => cluster.kill(name, fault.type === 'power-loss'))
  if (fault.type !== 'older-binary') return mend
  // It comes back at once as what it was, and is replaced when the fault is over.
  mend()
  return () => {
    cluster.old.delete(fault.who)
    cluster.kill(fault.who, false)()
  }
}

function trouble(cluster: Cluster, who: string, more: Partial<LogTrouble>): () => void {
  const key = Symbol(who)
  cluster.troubles.set(key, { who, trouble: { ...noTrouble, ...more } })
  cluster.applyTroubles()
  return () => {
    cluster.troubles.delete(key)
    cluster.applyTroubles()
  }
}
