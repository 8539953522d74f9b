/** Schedulers of plugins in real coordinators: found, chosen at run time, at fault, missing after a change of leader. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import type { HealthView } from '../../protocol/api.ts'
import type { SchedulerChoiceView, SchedulersView } from '../../protocol/scheduler.ts'
import type { JsonReport } from '../../reports/json.ts'
import { Coordinators } from './fixtures/coordinators.ts'
import { Fleet } from './fixtures/fleet.ts'
import { gate, marked, marks, shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

const shortestFirst = `
import { definePlugin, orderedStrategy, smallestFirst } from 'muster/plugin'
import type { PluginRun } from 'muster/plugin'

type Config = { readonly factor: number }

export default definePlugin({
  name: 'mine',
  version: '1.2.3',
  schedulers: [
    orderedStrategy<Config>({
      name: 'shortest-first',
      description: 'what takes the least',
      configSchema: {
        type: 'object',
        properties: { factor: { type: 'number', minimum: 0, default: 1 } },
        additionalProperties: false,
      },
      order: (runs, _view, { factor }) => smallestFirst(runs, (run: PluginRun) => factor * run.remainingMs),
      metrics: (view, { factor }) => ({ workers: view.workers.length, factor }),
    }),
  ],
})
`

const thrower = `
import { definePlugin } from 'muster/plugin'
export default definePlugin({ name: 'broken', schedulers: [{ name: 'thrower', description: 'throws', place() { throw new Error('oh') } }] })
`

/** A coordinator whose plugins lie beside its configuration: a file, and a package. */
async function withPlugins(stage: Stage): Promise<void> {
  const data = stage.path('coordinator')
  await mkdir(data, { mode: 0o700 })
  const plugins = ['./schedulers/mine.ts', 'muster-plugin-broken']
  await stage.write(
    {
      'coordinator.json': JSON.stringify({ plugins }),
      'schedulers/mine.ts': shortestFirst,
      'node_modules/muster-plugin-broken/package.json': JSON.stringify({
        name: 'muster-plugin-broken',
        type: 'module',
        exports: { '.': { import: './main.js' } },
      }),
      'node_modules/muster-plugin-broken/main.js': thrower,
    },
    data,
  )
}

const names = ['a', 'b', 'c', 'd', 'e', 'f'] as const
const once = Object.fromEntries(names.map((name) => [name, 1]))

describe('schedulers', { concurrency: 2 }, () => {
  test('those of plugins are listed, chosen for all or for a project, configured, and reset', async () => {
    await using stage = await Stage.open()
    await withPlugins(stage)
    const fleet = await Fleet.open(stage)
    const listed = await stage.muster(['scheduler', 'list', ...fleet.flags])
    assert.match(listed.stdout, /^history +Muster +all /m)
    assert.match(listed.stdout, /^shortest-first +\S+schedulers\/mine\.ts +what takes the least$/m)
    assert.match(listed.stdout, /^thrower +\S+main\.js/m)

    const used = await stage.muster(['scheduler', 'use', 'shortest-first', '--config', '{"factor": 2}', ...fleet.flags])
    assert.match(used.stdout, /^all +shortest-first +\{"factor":2\}$/m, used.stderr)
    await stage.write({ 'config.json': '{"factor": 3}' })
    const own = ['scheduler', 'use', 'shortest-first', '--project', 'web', '--config', '@config.json', ...fleet.flags]
    assert.match((await stage.muster(own)).stdout, /^web +shortest-first +\{"factor":3\}$/m)
    const choices = await stage.json<SchedulerChoiceView[]>(['scheduler', 'show', ...fleet.flags])
    assert.deepEqual(choices, [
      { chosen: 'shortest-first', config: { factor: 2 }, inEffect: 'shortest-first' },
      { project: 'web', chosen: 'shortest-first', config: { factor: 3 }, inEffect: 'shortest-first' },
    ])
    const shown = await stage.muster(['scheduler', 'show', 'shortest-first', ...fleet.flags])
    assert.match(shown.stdout, /from +mine 1\.2\.3, \S+mine\.ts\nused for +all, web\n/)
    const stats = await stage.muster(['scheduler', 'stats', ...fleet.flags])
    assert.match(stats.stdout, /^shortest-first {2}workers 0\nshortest-first {2}factor 2\n/m, stats.stderr)
    const metrics = await (await fleet.request('/metrics')).text()
    assert.match(metrics, /^muster_scheduler_value\{scheduler="shortest-first",name="factor"\} 2$/m)

    for (const [args, words] of [
      [['use', 'fastest'], /no scheduler 'fastest'; expected one of history, fifo.*shortest-first, thrower/],
      [['use', 'shortest-first', '--config', '{"factor": -1}'], /config\.factor: must be >= 0, received -1/],
      [['use', 'shortest-first', '--config', '{"faktor": 1}'], /must NOT have additional properties \('faktor'\)/],
      [['use', 'fifo', '--config', '{'], /--config: expected JSON/],
      [['show', 'fastest'], /no scheduler 'fastest'/],
    ] as const) {
      const refused = await stage.muster(['scheduler', ...args, ...fleet.flags])
      assert.deepEqual([refused.code, refused.stderr.match(words) === null], [2, false], refused.stderr)
    }

    await stage.muster(['scheduler', 'reset', '--project', 'web', ...fleet.flags])
    await stage.muster(['scheduler', 'reset', ...fleet.flags])
    const after = await stage.json<SchedulerChoiceView[]>(['scheduler', 'show', ...fleet.flags])
    assert.deepEqual(after, [{ inEffect: 'history' }])
    const worker = { headers: { authorization: `Bearer ${fleet.tokens.worker}` } }
    assert.equal((await fleet.request('/scheduler', worker)).status, 403)
  })

  test('one that throws is replaced by the default and reported, and the run passes', async () => {
    await using stage = await Stage.open()
    await withPlugins(stage)
    await stage.write(shellSuite(Object.fromEntries(names.map((name) => [`${name}.sh`, marked(name, stage.root)]))))
    const fleet = await Fleet.open(stage, ['one'])
    await stage.muster(['scheduler', 'use', 'thrower', ...fleet.flags])
    for (let turn = 0; turn < 5; turn += 1) {
      const run = await stage.json<JsonReport>(['run', ...fleet.flags], 0, {
        env: { MUSTER_DATA: stage.path('third') },
      })
      assert.deepEqual([run.verdict, run.planned, run.accounted], ['passed', 6, 6])
    }
    const health = (await (await fleet.request('/health')).json()) as HealthView
    assert.equal(health.status, 'degraded')
    assert.match(
      health.problems.join('\n'),
      /scheduler 'thrower': 5 faults, last: place threw Error: oh; 'history' places/,
    )
    const { schedulers } = (await (await fleet.request('/scheduler')).json()) as SchedulersView
    assert.equal(schedulers.find((one) => one.name === 'thrower')?.suspended, true)
    assert.match((await stage.muster(['scheduler', 'list', ...fleet.flags])).stdout, /^thrower .* 5, suspended/m)
    const stats = await stage.muster(['scheduler', 'stats', ...fleet.flags])
    assert.match(stats.stdout, /^thrower +5 +0 +0 +5 /m)
    const metrics = await (await fleet.request('/metrics')).text()
    assert.match(metrics, /muster_scheduler_faults_total\{scheduler="thrower",kind="threw"\} 5/)
    assert.match(fleet.server.stderr, /scheduler 'thrower' is suspended/)
  })

  test('a plugin that can not be used is refused at the start, with its file', async () => {
    await using stage = await Stage.open()
    const cases: [string, RegExp][] = [
      ['export const a = 1', /Cannot use plugin \S+p0\.ts: expected a default export, received none/],
      [
        'export default {}',
        /p1\.ts: expected an object made by definePlugin from 'muster\/plugin', received an object/,
      ],
      ['import { nothing } from "nowhere-at-all"', /Cannot load plugin \S+p2\.ts: .*nowhere-at-all/],
    ]
    for (const [at, [text, words]] of cases.entries()) {
      await stage.write({ [`p${at}.ts`]: text })
      const data = stage.path(`data-${at}`)
      const ended = await stage.muster(['serve', '--listen', '127.0.0.1:0', '--data', data, '--plugin', `p${at}.ts`])
      assert.deepEqual([ended.code, words.test(ended.stderr)], [2, true], ended.stderr)
    }
  })

  test('a switch in the middle of a run loses nothing, also when the leader is killed right after and the next one lacks the plugin', async () => {
    await using stage = await Stage.open()
    await using cluster = await Coordinators.bare(stage, 2)
    await writeFile(stage.path('mine.ts'), shortestFirst)
    await cluster.start('c1', '--plugin', stage.path('mine.ts'))
    await cluster.settled(1)
    await cluster.start('c2')
    await cluster.settled(2)
    const scripts = names.map((name) => [`${name}.sh`, `${marked(name, stage.root, gate(stage.root))}echo ${name}`])
    await stage.write(shellSuite(Object.fromEntries(scripts)))
    await cluster.join('one')
    await cluster.join('two')
    const run = stage.start(['run', ...cluster.flags, '--json'], { env: { MUSTER_DATA: stage.path('third') } })
    await until(() => Object.keys(marks(stage.root, 'begun')).length === 2, 'a file on each worker')
    assert.equal(await cluster.leader(), 'c1')
    // Asked of the one that follows.
    const flags = ['--server', cluster.url('c2'), '--token', cluster.tokens.client]
    const used = await stage.muster(['scheduler', 'use', 'shortest-first', ...flags])
    assert.match(used.stdout, /^all +shortest-first/m, used.stderr)
    await cluster.kill('c1')
    assert.equal(await cluster.leader('c1'), 'c2')
    await writeFile(stage.path('gate'), '')
    const ended = await run.ended
    assert.equal(ended.code, 0, ended.stderr)
    const report = JSON.parse(ended.stdout) as JsonReport
    assert.deepEqual([report.verdict, report.planned, report.accounted, report.rerun], ['passed', 6, 6, 0])
    assert.deepEqual([marks(stage.root, 'begun'), marks(stage.root, 'done')], [once, once])
    const health = await cluster.client('c2').get<HealthView>('/health')
    assert.match(health.problems.join('\n'), /no plugin with a scheduler 'shortest-first'; 'history' places instead/)
    const refused = await stage.muster(['scheduler', 'use', 'shortest-first', ...flags])
    assert.match(refused.stderr, /no scheduler 'shortest-first'; expected one of history/)
    const reset = await stage.muster(['scheduler', 'reset', ...flags])
    assert.match(reset.stdout, /^all +history +by default$/m)
  })
})
