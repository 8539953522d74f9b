/** A gauge that is read when it is asked for, so that nothing has to be kept up to date. */
import client from 'prom-client'

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
