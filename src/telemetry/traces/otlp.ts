/**
 * OpenTelemetry's own packages, in the one place that knows them: plain spans become what its exporter
 * takes, and go out as OTLP over HTTP. Where to, with which headers, certificates, compression and time
 * limit, the exporter reads from the standard `OTEL_EXPORTER_OTLP_…` variables.
 */
import { SpanKind, SpanStatusCode, TraceFlags, type HrTime } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { detectResources, envDetector, resourceFromAttributes, type Resource } from '@opentelemetry/resources'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import { sendMaxMs } from './settings.ts'
import type { SpanData } from './span.ts'

export type Exporter = {
  send(spans: readonly SpanData[]): Promise<void>
  close(): Promise<void>
}

export function openExporter(service: { readonly version: string; readonly instance: string }): Exporter {
  const { OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: own, OTEL_EXPORTER_OTLP_TIMEOUT: all } = process.env
  // It tries again by itself until then, and a process that ends would wait for it: the queue is more patient.
  const exporter = new OTLPTraceExporter(own || all ? {} : { timeoutMillis: sendMaxMs })
  const resource = resourceFromAttributes({
    'service.name': 'muster',
    'service.version': service.version,
    'service.instance.id': service.instance,
  }).merge(detectResources({ detectors: [envDetector] }))
  return {
    send: (spans) =>
      new Promise((resolve, reject) => {
        const readable = spans.map((span) => readableSpan(span, resource, service.version))
        exporter.export(readable, ({ error, code }) => {
          // 0: SUCCESS.
          if (code === 0) resolve()
          else reject(error ?? new Error('the exporter gave no reason'))
        })
      }),
    close: () => exporter.shutdown(),
  }
}

function readableSpan(span: SpanData, resource: Resource, version: string): ReadableSpan {
  const { traceId, parentSpanId } = span
  const traceFlags = TraceFlags.SAMPLED
  const attributes: Record<string, string | number | boolean> = {}
  for (const [name, value] of Object.entries(span.attributes)) if (value !== undefined) attributes[name] = value
  return {
    name: span.name,
    kind: SpanKind.INTERNAL,
    spanContext: () => ({ traceId, spanId: span.spanId, traceFlags }),
    ...(parentSpanId === undefined ? {} : { parentSpanContext: { traceId, spanId: parentSpanId, traceFlags } }),
    startTime: hrTime(span.startMs),
    endTime: hrTime(span.endMs),
    duration: hrTime(span.endMs - span.startMs),
    status: span.ok
      ? { code: SpanStatusCode.UNSET }
      : { code: SpanStatusCode.ERROR, ...(span.message === undefined ? {} : { message: span.message }) },
    attributes,
    links: [],
    events: span.events.map((event) => ({
      name: event.name,
      time: hrTime(event.atMs),
      attributes: { ...event.attributes },
    })),
    ended: true,
    resource,
    instrumentationScope: { name: 'muster', version },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000)
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)]
}
