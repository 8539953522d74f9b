/** What Prometheus scrapes. Gauges are read from state at scrape time; counters follow the log. */
import client from 'prom-client'
import type { Coordinator } from '../coordinator/coordinator.ts'

export type Metrics = { readonly contentType: string; text(): Promise<string>; close(): void }

export function createMetrics(coordinator: Coordinator): Metrics {
  const registry = new client.Registry()
  const registers = [registry]
  const { state } = coordinator
  const gauge = (name: string, help: string, value: () => number) =>
    new client.Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value())
      },
    })
  gauge('muster_tasks_queued', 'Tasks waiting for a worker.', () => state.queuedCount)
  gauge('muster_batches_running', 'Batches held by workers.', () => state.batches.size)
  gauge('muster_runs_active', 'Runs that are not finished.', () => state.active.size)
  gauge('muster_workers_connected', 'Workers with a connection.', () => coordinator.sessions.connected)
  gauge('muster_log_position', 'Position of the last durable log entry.', () => coordinator.position)
  gauge('muster_feed_watchers', 'Open feeds.', () => coordinator.feed.watchers)
  gauge('muster_healthy', '1 when nothing is degraded.', () => (coordinator.health().status === 'ok' ? 1 : 0))
  const tasks = new client.Counter({
    name: 'muster_tasks_ended_total',
    help: 'Tasks by final state.',
    labelNames: ['state'],
    registers,
  })
  const requeued = new client.Counter({
    name: 'muster_tasks_requeued_total',
    help: 'Attempts repeated, by cause.',
    labelNames: ['cause'],
    registers,
  })
  const runs = new client.Counter({
    name: 'muster_runs_finished_total',
    help: 'Runs by verdict.',
    labelNames: ['verdict'],
    registers,
  })
  const entries = new client.Counter({
    name: 'muster_log_entries_total',
    help: 'Entries appended since the start.',
    registers,
  })
  const bytes = new client.Counter({
    name: 'muster_log_bytes_total',
    help: 'Bytes appended since the start.',
    registers,
  })
  const lag = new client.Histogram({
    name: 'muster_event_loop_delay_seconds',
    help: 'How late a 500 ms timer fires.',
    buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1],
    registers,
  })
  const stop = coordinator.observe((entry) => {
    entries.inc()
    bytes.inc(entry.bytes.length)
    for (const event of entry.events) {
      if (event.type === 'task.ended') tasks.inc({ state: event.state }, event.tasks.length)
      else if (event.type === 'task.requeued') requeued.inc({ cause: event.cause }, event.tasks.length)
      else if (event.type === 'run.finished') runs.inc({ verdict: event.verdict })
    }
  })
  let dueMs = performance.now() + 500
  const timer = setInterval(() => {
    const nowMs = performance.now()
    lag.observe(Math.max(0, nowMs - dueMs) / 1000)
    dueMs = nowMs + 500
  }, 500)
  timer.unref()
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    close() {
      stop()
      clearInterval(timer)
    },
  }
}
