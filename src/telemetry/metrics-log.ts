/** The log as the leader writes it: how long an entry takes to be durable, how much is in one, what failed. */
import client from 'prom-client'
import { gauge } from './gauges.ts'
import type { Watched } from './watched.ts'

/** Returns the function that ends it. */
export function logMetrics(registry: client.Registry, coordinator: Watched): () => void {
  const registers = [registry]
  const durations = new client.Histogram({
    name: 'muster_log_append_duration_seconds',
    help: 'From handing an entry to the log to knowing that it is durable, tries that failed included.',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  })
  const inputs = new client.Histogram({
    name: 'muster_log_entry_inputs',
    help: 'Inputs that became one entry (group commit).',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16_384],
    registers,
  })
  const bytes = new client.Histogram({
    name: 'muster_log_entry_bytes',
    help: 'Size of entries.',
    buckets: [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304],
    registers,
  })
  const retries = new client.Counter({
    name: 'muster_log_append_failures_total',
    help: 'Appends that failed or whose outcome was unknown, so that the same entry was sent again.',
    registers,
  })
  gauge(registry, 'muster_log_writable', '0 while entries cannot be written.', () =>
    coordinator.standing().logWritable ? 1 : 0,
  )
  gauge(
    registry,
    'muster_log_position',
    'Position of the last entry applied here.',
    () => coordinator.standing().position,
  )
  gauge(
    registry,
    'muster_log_fill_ratio',
    'Live bytes of a shared log against its budget, above which submissions wait; absent for a log of one.',
    () => coordinator.standing().logFill,
  )
  // A log that hangs must not hang the scrape: shown is what the scrape before asked for.
  let sizeBytes: number | undefined
  gauge(registry, 'muster_log_size_bytes', 'Size of the log on its medium, as the scrape before learnt it.', () => {
    coordinator.logSizeBytes().then(
      (size) => (sizeBytes = size),
      () => (sizeBytes = undefined),
    )
    return sizeBytes
  })
  return coordinator.observe((entry) => {
    if (entry.appendMs === undefined) return
    durations.observe(entry.appendMs / 1000)
    inputs.observe(entry.inputs ?? 0)
    bytes.observe(entry.bytes.length)
    retries.inc(entry.retries ?? 0)
  })
}
