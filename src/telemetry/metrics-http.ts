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
  /** What was counted before is found without building its labels again. */
  const known = new Map<string | undefined, Map<string, (seconds: number) => void>>()
  return ({ route, method, status, seconds }) => {
    let ofRoute = known.get(route)
    if (!ofRoute) known.set(route, (ofRoute = new Map()))
    const name = route === undefined ? String(status) : `${status}${method}`
    let observe = ofRoute.get(name)
    if (!observe) {
      const labels = route === undefined ? { route: 'none', method: 'any' } : { route, method }
      const series = durations.labels({ ...labels, status: String(status) })
      observe = (value) => series.observe(value)
      ofRoute.set(name, observe)
    }
    observe(seconds)
  }
}
