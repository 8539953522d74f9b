/**
 * Which trace a run belongs to. Ids follow from Muster's own ids by hashing, so any coordinator makes
 * the same spans from the same log: another leader goes on with the trace, and a span that is exported
 * twice is the same span. A submitter that is part of a trace itself says so with a W3C `traceparent`;
 * the run then hangs below its span.
 */
import { createHash } from 'node:crypto'

export type TraceContext = {
  readonly traceId: string
  /** The submitter's span. */
  readonly parentSpanId: string | undefined
  /** False: the submitter's trace isn't recorded, so this part of it isn't either. */
  readonly sampled: boolean
}

/** Undefined when the text is no traceparent; later versions of it are read as far as the first is known. */
export function parseTraceparent(text: string): TraceContext | undefined {
  const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text.trim())
  const [, version, traceId, parentSpanId, flags, more] = match ?? []
  if (version === undefined || traceId === undefined || parentSpanId === undefined || flags === undefined)
    return undefined
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(parentSpanId)) return undefined
  return { traceId, parentSpanId, sampled: (parseInt(flags, 16) & 1) === 1 }
}

/** What runs this command may be part of a trace, e.g. a step of a pipeline; then it says so in `TRACEPARENT`. */
export function callersTrace(env: Readonly<Record<string, string | undefined>> = process.env): string | undefined {
  const text = env['TRACEPARENT']?.trim()
  return text !== undefined && parseTraceparent(text) ? text : undefined
}

export function traceOf(run: { readonly id: string; readonly spec: { readonly traceparent?: string } }): TraceContext {
  const given = run.spec.traceparent === undefined ? undefined : parseTraceparent(run.spec.traceparent)
  return given ?? { traceId: hash(`trace ${run.id}`, 16), parentSpanId: undefined, sampled: true }
}

/** `of`: the names that lead to it, e.g. run, task, batch, number of the test. */
export function spanId(...of: readonly (string | number)[]): string {
  return hash(`span ${of.join('/')}`, 8)
}

function hash(text: string, bytes: number): string {
  return createHash('sha256')
    .update(`muster ${text}`)
    .digest('hex')
    .slice(0, bytes * 2)
}
