/**
 * Latency of each endpoint. The label is the route's template (`/api/v1/runs/:run`), never the path,
 * and what no route takes is one series, so that nobody outside can make series by asking.
 */
import client from 'prom-client'

export type Answered = {
  /** The route's template; undefined when no route took it. */
  readonly route: string | undefined
  readonly method: string
  readonly status: number
  readonly seconds: number
}

export function httpMetrics(registry: client.Registry): (answer: Answered) => void {
  const durations = new client.Histogram({
    name: 'muster_http_request_duration_seconds',
    help: 'From the arrival of a request to the end of its answer, by route. WebSockets are not in it.',
    labelNames: ['route', 'method', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  })
  return ({ route, method, status, seconds }) =>
    durations.observe(
      route === undefined
        ? { route: 'none', method: 'any', status: String(status) }
        : { route, method, status: String(status) },
      seconds,
    )
}
