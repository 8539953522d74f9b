/** How sending traces goes; all zero while none are sent. */
import client from 'prom-client'
import { gauge } from './gauges.ts'
import type { SpanCounts } from './traces/span.ts'

export function traceMetrics(registry: client.Registry, spans: () => SpanCounts | undefined): void {
  new client.Counter({
    name: 'muster_trace_spans_total',
    help: 'Spans that a collector took, and spans that were dropped because it did not.',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      this.reset()
      this.inc({ outcome: 'exported' }, spans()?.exported ?? 0)
      this.inc({ outcome: 'dropped' }, spans()?.dropped ?? 0)
    },
  })
  gauge(registry, 'muster_trace_spans_waiting', 'Spans that wait for the collector.', () => spans()?.waiting ?? 0)
}
