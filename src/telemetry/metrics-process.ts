/**
 * The process itself: prom-client's own metrics under their usual names (`process_…`, `nodejs_…`),
 * which dashboards know, and how long the event loop was held up. For the latter the worst of each
 * second goes into a histogram: unlike a quantile since the last scrape it can be summed and is not
 * disturbed by a second scraper.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import client from 'prom-client'

/** Gauges that are called `_total`, which is for counters; the same is told by type in their neighbours. */
const misnamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total']
const resolutionMs = 20
const everyMs = 1000

/** Returns the function that ends it. */
export function processMetrics(registry: client.Registry): () => void {
  client.collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: resolutionMs })
  for (const name of misnamed) registry.removeSingleMetric(name)
  const delay = new client.Histogram({
    name: 'muster_event_loop_delay_seconds',
    help: 'Longest time in each second that the event loop was held up.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [registry],
  })
  const monitor = monitorEventLoopDelay({ resolution: resolutionMs })
  monitor.enable()
  const timer = setInterval(() => {
    // Its samples are whole intervals of its own timer.
    delay.observe(Math.max(0, monitor.max / 1e6 - resolutionMs) / 1000)
    monitor.reset()
  }, everyMs)
  timer.unref()
  return () => {
    clearInterval(timer)
    monitor.disable()
  }
}
