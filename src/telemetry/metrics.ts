/**
 * What Prometheus scrapes: one registry per process. Gauges are read from state when they are asked
 * for; counters and histograms follow committed entries and requests. What happens to runs is counted
 * by the coordinator that leads and by no other, so that a sum over all of them is right whoever led.
 *
 * Every family is a file; docs/reference/metrics.md lists them all, and a test holds it to that.
 */
import client from 'prom-client'
import type { Blobs } from '../blobs/blobs.ts'
import { watchedBlobs } from './metrics-blobs.ts'
import { clusterMetrics } from './metrics-cluster.ts'
import { failureMetrics } from './metrics-failures.ts'
import { httpMetrics, type Answered } from './metrics-http.ts'
import { logMetrics } from './metrics-log.ts'
import { processMetrics } from './metrics-process.ts'
import { schedulerMetrics } from './metrics-scheduler.ts'
import { traceMetrics } from './metrics-traces.ts'
import { workMetrics } from './metrics-work.ts'
import type { SpanCounts } from './traces/span.ts'
import type { Watched } from './watched.ts'

export class Metrics implements Disposable {
  readonly registry = new client.Registry()
  /** Call it with every HTTP answer. */
  readonly answered: (answer: Answered) => void
  /** A blob store whose operations are counted. */
  readonly wrapBlobs: (blobs: Blobs) => Blobs
  readonly #ends: (() => void)[] = []

  constructor() {
    this.#ends.push(processMetrics(this.registry))
    this.answered = httpMetrics(this.registry)
    this.wrapBlobs = watchedBlobs(this.registry)
  }

  get contentType(): string {
    return this.registry.contentType
  }

  text(): Promise<string> {
    return this.registry.metrics()
  }

  /** From now on this coordinator's state and entries are shown. Once. `spans`: of traces, if any are sent. */
  watch(coordinator: Watched, spans: () => SpanCounts | undefined = () => undefined): void {
    traceMetrics(this.registry, spans)
    this.#ends.push(
      logMetrics(this.registry, coordinator),
      clusterMetrics(this.registry, coordinator),
      workMetrics(this.registry, coordinator),
      failureMetrics(this.registry, coordinator),
      schedulerMetrics(this.registry, coordinator),
    )
  }

  [Symbol.dispose](): void {
    for (const end of this.#ends.splice(0)) end()
    this.registry.clear()
  }
}
