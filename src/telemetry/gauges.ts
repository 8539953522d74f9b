/** Gauges that are read when they are asked for, so that nothing has to be kept up to date; counters that begin at 0. */
import client from 'prom-client'

/**
 * A counter by one label whose every value is there from the start: a series that appears with its first
 * count has, for Prometheus, not increased. `values`: all of them, which the type makes sure of.
 */
export function counterOf<Value extends string>(
  registry: client.Registry,
  name: string,
  help: string,
  label: string,
  values: Readonly<Record<Value, true>>,
): (value: Value, count?: number) => void {
  const counter = new client.Counter({ name, help, labelNames: [label], registers: [registry] })
  for (const value of Object.keys(values)) counter.inc({ [label]: value }, 0)
  return (value, count = 1) => counter.inc({ [label]: value }, count)
}

/** One value; undefined: the metric is absent this time, which a scraper understands. */
export function gauge(registry: client.Registry, name: string, help: string, read: () => number | undefined): void {
  new client.Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.remove()
      const value = read()
      if (value !== undefined) this.set(value)
    },
  })
}

/** A value for each combination of labels that there is now. */
export function gauges<Label extends string>(
  registry: client.Registry,
  name: string,
  help: string,
  labelNames: readonly Label[],
  read: (set: (labels: Record<Label, string>, value: number) => void) => void,
): void {
  new client.Gauge({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    collect() {
      this.reset()
      read((labels, value) => this.set(labels, value))
    },
  })
}
