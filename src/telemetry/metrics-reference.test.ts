/** docs/reference/metrics.md says exactly what /metrics has. With UPDATE_DOCS=1 it is made to. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { Coordinator } from '../coordinator/coordinator.ts'
import { Metrics } from './metrics.ts'

const page = path.join(import.meta.dirname, '..', '..', 'docs', 'reference', 'metrics.md')

/** prom-client keeps these, but its types say less. */
type Described = {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly labelNames: readonly string[]
}

/** The table as it should stand there. */
async function table(): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'muster-metrics-'))
  try {
    using metrics = new Metrics()
    await using coordinator = await Coordinator.open({ directory, version: '1', log: 'memory', history: false })
    metrics.watch(coordinator)
    const rows = metrics.registry.getMetricsAsArray().flatMap((metric) => {
      const { name, help, type, labelNames } = metric as unknown as Described
      if (!name.startsWith('muster_')) return []
      const labels = labelNames.map((label) => `\`${label}\``).join(', ')
      return [`| \`${name}\` | ${type} | ${labels || '–'} | ${help} |`]
    })
    return ['| metric | type | labels | meaning |', '|---|---|---|---|', ...rows.sort()].join('\n')
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

test('metrics: the reference has every metric with its type, labels and meaning', async () => {
  const text = await readFile(page, 'utf8')
  const [there = ''] = /^\| metric \|.*\n(?:\|.*\n)*/m.exec(text) ?? []
  const expected = `${await table()}\n`
  if (process.env['UPDATE_DOCS'] === '1')
    await writeFile(
      page,
      text.replace(there, () => expected),
    )
  else assert.equal(there, expected)
})
