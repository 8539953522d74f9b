/** What tests see of a worker's cards, with an nvidia-smi that tells of two. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { PlantedHost, slicedCard, twoCards } from './detect/fixtures/planted-host.ts'
import { TestCoordinator } from './test-coordinator.ts'
import { startTestWorker, temporaryFolder } from './test-worker.ts'

const kept = { path: process.env['PATH'], visible: process.env['CUDA_VISIBLE_DEVICES'] }
let host: PlantedHost

before(() => {
  host = new PlantedHost()
  process.env['PATH'] = `${host.bin}:${kept.path}`
  delete process.env['CUDA_VISIBLE_DEVICES']
})
after(() => {
  process.env['PATH'] = kept.path
  if (kept.visible !== undefined) process.env['CUDA_VISIBLE_DEVICES'] = kept.visible
  host[Symbol.dispose]()
})

/** The environment of a batch that was granted these. */
async function seen(
  coordinator: TestCoordinator,
  grant: { readonly gpus?: readonly string[]; readonly memoryBytes?: number },
  env: Readonly<Record<string, string>> = {},
): Promise<Record<string, string>> {
  using folder = temporaryFolder()
  const file = path.join(folder.path, 'env.json')
  const { batch } = coordinator.assign([`env:${file}`], { ...grant, env })
  assert.equal((await coordinator.ended(batch)).reason, 'completed')
  return (JSON.parse(readFileSync(file, 'utf8')) as { env: Record<string, string> }).env
}

/** Tools are asked with a low priority: on a busy machine they take their time. */
const patient = { detect: 'quick', detectStartMs: 60_000 } as const

describe('a worker with two cards', () => {
  it('tells of them at once, and shows a batch those that it was granted, in place of what its caller sees', async () => {
    host.nvidia(twoCards.listing, twoCards.cards)
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator, patient)
    const [hello] = coordinator.of('hello')
    assert.deepEqual(
      hello!.capabilities.gpus?.map((gpu) => gpu.id),
      ['0', '1'],
    )
    const one = await seen(coordinator, { gpus: ['1'], memoryBytes: 1000 }, { CUDA_VISIBLE_DEVICES: '0,1' })
    assert.equal(one['CUDA_VISIBLE_DEVICES'], '1')
    assert.equal(one['CUDA_DEVICE_ORDER'], 'PCI_BUS_ID')
    assert.equal(one['MUSTER_GPUS'], '1')
    assert.equal(one['MUSTER_MEMORY_BYTES'], '1000')
    const none = await seen(coordinator, {})
    assert.equal(none['CUDA_VISIBLE_DEVICES'], '-1')
    assert.equal(none['MUSTER_MEMORY_BYTES'], undefined)
  })

  it('gives slices of one that is cut', async () => {
    host.nvidia(slicedCard.listing, slicedCard.cards)
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator, patient)
    const ids = coordinator.of('hello')[0]!.capabilities.gpus!.map((gpu) => gpu.id)
    assert.deepEqual(
      ids.map((id) => id.slice(0, 4)),
      ['MIG-', 'MIG-', 'GPU-'],
    )
    assert.equal((await seen(coordinator, { gpus: [ids[0]!] }))['CUDA_VISIBLE_DEVICES'], ids[0])
  })
})

describe('a worker whose nvidia-smi is slow', () => {
  it('joins without it, and tells of the cards when it has answered', async () => {
    const gate = path.join(host.directory, 'gate')
    host.nvidia(twoCards.listing, twoCards.cards)
    const answers = readFileSync(path.join(host.bin, 'nvidia-smi'), 'utf8').replace('#!/bin/sh', '')
    host.program('nvidia-smi', `while ! [ -e ${gate} ]; do sleep 0.02; done\n${answers}`)
    await using coordinator = await new TestCoordinator().start()
    coordinator.understands = ['capabilities']
    await using _worker = await startTestWorker(coordinator, { detect: 'quick' })
    assert.equal(coordinator.of('hello')[0]!.capabilities.gpus, undefined)
    assert.equal(coordinator.of('hello')[0]!.capabilities.unavailable?.['gpu'], 'not known yet')
    host.files({ '../gate': '' })
    const told = await coordinator.until(
      () => coordinator.of('capabilities').find((one) => one.capabilities.gpus !== undefined),
      'the cards',
    )
    assert.equal(told.capabilities.gpus?.length, 2)
  })
})

describe('a worker without cards', () => {
  it('leaves a test the environment that it has', async () => {
    host.program('nvidia-smi', 'exit 9')
    await using coordinator = await new TestCoordinator().start()
    await using _worker = await startTestWorker(coordinator, patient)
    const env = await seen(coordinator, {}, { CUDA_VISIBLE_DEVICES: '3' })
    assert.equal(env['CUDA_VISIBLE_DEVICES'], '3')
    assert.equal(env['MUSTER_GPUS'], undefined)
  })
})
