/**
 * Latency of each endpoint. The label is the route's template (`/api/v1/runs/:run`), never the path,
 * and what no route takes is one series, so that nobody outside can make series by asking.
 */
import type client from 'prom-client'

export type Answered = {
  /** The route's template; undefined when no route took it. */
  readonly route: string | undefined
  readonly method: string
  readonly status: number
  readonly seconds: number
}

const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** One series: how many answers were within each bucket (the last: beyond all), and their sum. */
type Series = {
  readonly labels: { readonly route: string; readonly method: string; readonly status: string }
  readonly counts: number[]
  sum: number
}

/**
 * A histogram that is counted with a comparison and an addition. prom-client's own makes and checks
 * labels at every observation, which was a tenth of what an answer from memory costs.
 */
class Durations {
  readonly name = 'muster_http_request_duration_seconds'
  readonly help = 'From the arrival of a request to the end of its answer, by route. WebSockets are not in it.'
  readonly type = 'histogram'
  readonly labelNames = ['route', 'method', 'status']
  readonly #series = new Map<string | undefined, Map<string, Series>>()

  observe({ route, method, status, seconds }: Answered): void {
    const series = this.#of(route, method, status)
    let at = 0
    while (at < buckets.length && seconds > buckets[at]!) at += 1
    series.counts[at]! += 1
    series.sum += seconds
  }

  #of(route: string | undefined, method: string, status: number): Series {
    let ofRoute = this.#series.get(route)
    if (!ofRoute) this.#series.set(route, (ofRoute = new Map()))
    const key = route === undefined ? `${status}` : `${status} ${method}`
    let series = ofRoute.get(key)
    if (!series) {
      const labels = route === undefined ? { route: 'none', method: 'any' } : { route, method }
      series = { labels: { ...labels, status: String(status) }, counts: Array(buckets.length + 1).fill(0), sum: 0 }
      ofRoute.set(key, series)
    }
    return series
  }

  /** What the registry asks a metric for. */
  async get() {
    const { name, help, type } = this
    const all = [...this.#series.values()].flatMap((ofRoute) => [...ofRoute.values()])
    const values = all.flatMap(({ labels, counts, sum }) => {
      let count = 0
      const within = counts.map((more, at) => {
        count += more
        return { metricName: `${name}_bucket`, labels: { le: buckets[at] ?? '+Inf', ...labels }, value: count }
      })
      const rest = [
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: count },
      ]
      return [...within, ...rest]
    })
    return { name, help, type, aggregator: 'sum', values }
  }
}

export function httpMetrics(registry: client.Registry): (answer: Answered) => void {
  const durations = new Durations()
  // By its types it takes prom-client's own classes alone; what it uses of them is `name`, `type` and `get`.
  registry.registerMetric(durations as unknown as client.Metric)
  return (answer) => durations.observe(answer)
}
