/** What machines have, against real processes: an nvidia-smi that tells of two cards, and tests that want one each. */
import assert from 'node:assert/strict'
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import type { WorkerDetailView, WorkerView } from '../../protocol/run-view.ts'
import type { WorkerCapabilities } from '../../protocol/worker-messages.ts'
import type { JsonReport } from '../../reports/json.ts'
import { slicedCard, twoCards } from '../../worker/detect/fixtures/planted-host.ts'
import { Fleet } from './fixtures/fleet.ts'
import { shellSuite } from './fixtures/projects.ts'
import { Stage, until } from './fixtures/stage.ts'

/** A PATH on which nvidia-smi answers so. */
async function pathWith(stage: Stage, { listing, cards }: typeof twoCards): Promise<string> {
  const folder = stage.path('bin')
  await mkdir(folder, { recursive: true })
  const file = path.join(folder, 'nvidia-smi')
  const next = path.join(folder, 'next')
  await writeFile(next, `#!/bin/sh\ncase $1 in -L) cat <<'L'\n${listing}\nL\n;; *) cat <<'Q'\n${cards}\nQ\n;; esac\n`)
  await chmod(next, 0o755)
  // It may be asked at any moment.
  await rename(next, file)
  return `${folder}:${stage.environment()['PATH']}`
}

test('muster worker --detect prints what this machine has, and joins nobody', async () => {
  await using stage = await Stage.open()
  const env = { PATH: await pathWith(stage, slicedCard), MUSTER_DETECT: 'all' }
  const args = ['worker', '--detect', '--resource', 'licences=2']
  const machine = await stage.json<WorkerCapabilities>(args, 0, { env })
  assert.deepEqual(
    machine.gpus?.map((gpu) => gpu.partOf !== undefined),
    [true, true, false],
  )
  assert.deepEqual(machine.resources, { licences: 2 })
  assert.ok(machine.speed !== undefined && machine.speed > 0)
  const shown = await stage.muster(args, { env: { ...env, COLUMNS: '80', CUDA_VISIBLE_DEVICES: '' } })
  assert.equal(shown.code, 0)
  assert.match(shown.stdout, /^resources +licences 2$/m)
  assert.match(shown.stdout, /^gpu +2 there, none for this worker/m)
  assert.equal(stage.daemonAnswers(), false)
  const wrong = await stage.muster(['worker', '--resource', 'licences'])
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /--resource: expected NAME=COUNT/)
})

test('a card that is lost is given to nobody any more, and is there again when it comes back', async () => {
  await using stage = await Stage.open()
  const given = stage.path('given')
  const files = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [`${name}.sh`, `echo $MUSTER_GPUS >> ${given}`]))
  await stage.write(shellSuite(files, { requires: { gpus: 1, cpus: 1, batch: { max: 1 } } }))
  const fleet = await Fleet.open(stage)
  const data = stage.path('worker-gpu')
  const flags = ['--token', fleet.tokens.worker, '--name', 'gpu', '--data', data, '--cpus', '4']
  const worker = stage.start(['worker', '--join', fleet.url, ...flags], {
    env: { MUSTER_DATA: data, PATH: await pathWith(stage, twoCards), MUSTER_DETECT_EVERY: '200ms' },
  })
  await worker.says(/joined/)
  const lost = twoCards.cards.replace(/^1, .*$/m, '1, [GPU is lost], [GPU is lost], [GPU is lost]')
  await pathWith(stage, { ...twoCards, cards: lost })
  await worker.says(/No longer there: GPU 1 \(NVIDIA T4\); card 1: \[GPU is lost\]/)
  const seen = async (): Promise<WorkerDetailView> => stage.json(['workers', 'gpu', ...fleet.flags])
  // What it says goes to the coordinator at the next moment.
  await until(async () => (await seen()).gpus?.length === 1, 'one card')
  assert.equal((await seen()).unavailable['gpu'], 'card 1: [GPU is lost]')
  const report = await stage.json<JsonReport>(['run', ...fleet.flags])
  assert.equal(report.verdict, 'passed')
  assert.deepEqual(
    (await readFile(given, 'utf8')).trim().split('\n'),
    Array(4).fill('GPU-11111111-aaaa-bbbb-cccc-000000000000'),
  )
  await pathWith(stage, twoCards)
  await until(async () => (await seen()).gpus?.length === 2, 'both cards')
})

test('tests that want a card get one each, never the same at one time; a test that wants none sees none', async () => {
  await using stage = await Stage.open()
  const held = stage.path('held')
  await mkdir(held)
  // Two have to be there at one time before the first may end; and no card is held by two.
  const script = `mkdir ${held}/$CUDA_VISIBLE_DEVICES || exit 1
echo $CUDA_VISIBLE_DEVICES >> ${held}/ids
until [ $(sort -u ${held}/ids | wc -l) -ge 2 ]; do sleep 0.03; done
sleep 0.1
rmdir ${held}/$CUDA_VISIBLE_DEVICES`
  const files = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [`${name}.sh`, script]))
  await stage.write(shellSuite(files, { requires: { gpus: 1, cpus: 1, batch: { max: 1 } } }))
  const other = stage.path('other')
  await stage.write(shellSuite({ 'none.sh': `echo "$CUDA_VISIBLE_DEVICES" > ${held}/none` }), other)

  const fleet = await Fleet.open(stage)
  const data = stage.path('worker-gpu')
  const worker = stage.start(
    ['worker', '--join', fleet.url, '--token', fleet.tokens.worker, '--name', 'gpu', '--data', data, '--cpus', '4'],
    { env: { MUSTER_DATA: data, PATH: await pathWith(stage, twoCards) } },
  )
  await worker.says(/joined/)
  const report = await stage.json<JsonReport>(['run', ...fleet.flags])
  assert.equal(report.verdict, 'passed')
  const ids = (await readFile(path.join(held, 'ids'), 'utf8')).trim().split('\n')
  assert.equal(ids.length, 4)
  assert.deepEqual([...new Set(ids)].toSorted(), ['0', '1'])
  await stage.json<JsonReport>(['run', ...fleet.flags], 0, { cwd: other })
  assert.equal((await readFile(path.join(held, 'none'), 'utf8')).trim(), '-1')

  const [listed] = await stage.json<WorkerView[]>(['workers', ...fleet.flags])
  assert.equal(listed!.gpus?.length, 2)
  assert.match((await stage.muster(['workers', ...fleet.flags])).stdout, /A100-PCIE/)
  const detail = await stage.json<WorkerDetailView>(['workers', 'gpu', ...fleet.flags])
  assert.equal(detail.attributes['gpu.computeCapability'], '7.5')
  assert.equal(detail.unavailable['speed'], 'not measured yet')
  const missing = await stage.muster(['workers', 'nobody', ...fleet.flags])
  assert.equal(missing.code, 2)
  assert.match(missing.stderr, /no worker nobody/)
})
