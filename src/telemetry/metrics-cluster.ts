/** This coordinator among the others: its role, how far behind it is, what depends on it. */
import client from 'prom-client'
import { gauge, gauges } from './gauges.ts'
import type { Watched } from './watched.ts'

/** Returns the function that ends it. */
export function clusterMetrics(registry: client.Registry, coordinator: Watched): () => void {
  gauge(registry, 'muster_healthy', '1 while nothing is degraded; /health says what is.', () =>
    coordinator.health().status === 'ok' ? 1 : 0,
  )
  gauge(registry, 'muster_ready', '1 while it can serve, as /health/ready says.', () =>
    coordinator.readiness().ready ? 1 : 0,
  )
  gauges(registry, 'muster_coordinator_role', '1 for the role it has now.', ['role'], (set) => {
    const { role } = coordinator.standing()
    for (const one of ['leader', 'follower']) set({ role: one }, role === one ? 1 : 0)
  })
  gauge(registry, 'muster_coordinator_epoch', 'The newest leadership it knows of.', () => coordinator.standing().epoch)
  gauge(registry, 'muster_follower_lag_entries', 'Entries that the leader has and it has not applied.', () => {
    const { position, headPosition } = coordinator.standing()
    return Math.max(0, headPosition - position)
  })
  gauge(
    registry,
    'muster_follower_lag_seconds',
    'How long it has not been in step with the leader; 0 for the leader.',
    () => coordinator.standing().behindMs / 1000,
  )
  gauge(
    registry,
    'muster_history_lag_entries',
    'Entries that history has not taken yet; absent without history.',
    () => coordinator.standing().historyBehind,
  )
  gauge(registry, 'muster_feed_watchers', 'Open feeds.', () => coordinator.feed.watchers)
  new client.Counter({
    name: 'muster_feed_messages_dropped_total',
    help: 'Live messages (tests, output) that a watcher did not get because it could not keep up.',
    registers: [registry],
    collect() {
      this.reset()
      this.inc(coordinator.feed.dropped)
    },
  })
  const failovers = failoverTimes(registry, coordinator)
  const changes = new client.Counter({
    name: 'muster_leader_changes_total',
    help: 'Leaderships that began while this coordinator ran, its own included.',
    registers: [registry],
  })
  return coordinator.observe((entry) => {
    for (const event of entry.events) {
      if (event.type !== 'leader.started') continue
      changes.inc()
      failovers()
    }
  })
}

/** Returns what looks for those that are new. */
function failoverTimes(registry: client.Registry, coordinator: Watched): () => void {
  let seenEpoch = 0
  const look = () => {
    for (const { epoch, tookMs } of coordinator.seat.failovers) {
      if (epoch <= seenEpoch) continue
      seenEpoch = epoch
      if (tookMs !== undefined) durations.observe(tookMs / 1000)
    }
  }
  const durations = new client.Histogram({
    name: 'muster_failover_duration_seconds',
    help: 'From the last sign of a leader to the lead of the next, as seen here.',
    buckets: [0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [registry],
    collect: look,
  })
  return look
}
