/** Whether traces are wanted, and how, from the variables that OpenTelemetry has for it. */
type Env = Readonly<Record<string, string | undefined>>

/** Of one request, unless the environment says otherwise. */
export const sendMaxMs = 2000

export type TraceSettings =
  | { readonly type: 'off' }
  /** Asked for in a way that can't be done. */
  | { readonly type: 'refused'; readonly why: string }
  | {
      readonly type: 'on'
      readonly endpoint: string
      readonly delayMs: number
      readonly batchMax: number
      readonly queueMax: number
      /** How long a coordinator that ends waits for what is still to be sent. */
      readonly closeMaxMs: number
    }

export function traceSettings(env: Env): TraceSettings {
  const set = (name: string): string | undefined => env[name]?.trim() || undefined
  const endpoint = set('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') ?? set('OTEL_EXPORTER_OTLP_ENDPOINT')
  if (endpoint === undefined || set('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return { type: 'off' }
  const exporters = (set('OTEL_TRACES_EXPORTER') ?? 'otlp').split(',').map((name) => name.trim())
  if (!exporters.includes('otlp')) return { type: 'off' }
  const protocol = set('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') ?? set('OTEL_EXPORTER_OTLP_PROTOCOL') ?? 'http/protobuf'
  if (protocol !== 'http/protobuf') {
    return { type: 'refused', why: `OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf, received '${protocol}'` }
  }
  if (!URL.canParse(endpoint)) {
    return { type: 'refused', why: `OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL, received '${endpoint}'` }
  }
  const number = (name: string, otherwise: number): number => {
    const value = Number(set(name))
    return Number.isInteger(value) && value > 0 ? value : otherwise
  }
  return {
    type: 'on',
    endpoint: new URL(endpoint).origin,
    delayMs: number('OTEL_BSP_SCHEDULE_DELAY', 1000),
    batchMax: number('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 512),
    queueMax: number('OTEL_BSP_MAX_QUEUE_SIZE', 20_000),
    closeMaxMs: Math.max(
      sendMaxMs,
      number('OTEL_EXPORTER_OTLP_TRACES_TIMEOUT', number('OTEL_EXPORTER_OTLP_TIMEOUT', sendMaxMs)),
    ),
  }
}
