/** A finished span as plain data: what the projection makes and the exporter sends. */
export type AttributeValue = string | number | boolean

export type SpanEvent = {
  readonly name: string
  readonly atMs: number
  readonly attributes: Readonly<Record<string, AttributeValue>>
}

export type SpanData = {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly name: string
  readonly startMs: number
  readonly endMs: number
  readonly ok: boolean
  /** Why not, in a line. */
  readonly message: string | undefined
  readonly attributes: Readonly<Record<string, AttributeValue | undefined>>
  readonly events: readonly SpanEvent[]
}

export type SpanCounts = { readonly exported: number; readonly dropped: number; readonly waiting: number }
