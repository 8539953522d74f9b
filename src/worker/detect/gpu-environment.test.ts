import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Gpu } from '../../protocol/worker-messages.ts'
import { gpuEnvironment } from './gpu-environment.ts'

const card = (id: string, vendor: Gpu['vendor'] = 'nvidia'): Gpu => ({ id, vendor, name: 'x', memoryBytes: 1 })

describe('gpuEnvironment', () => {
  it('shows the granted cards in the order in which they were granted', () => {
    assert.deepEqual(gpuEnvironment([card('0'), card('1'), card('2')], ['2', '0'], {}), {
      CUDA_VISIBLE_DEVICES: '2,0',
      CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
      MUSTER_GPUS: '2,0',
    })
  })

  it('leaves the order alone where cards go by UUID', () => {
    assert.deepEqual(gpuEnvironment([card('MIG-1')], ['MIG-1'], {}), {
      CUDA_VISIBLE_DEVICES: 'MIG-1',
      MUSTER_GPUS: 'MIG-1',
    })
  })

  it('shows none to a batch that was granted none', () => {
    assert.deepEqual(gpuEnvironment([card('0')], [], {}), { CUDA_VISIBLE_DEVICES: '-1', MUSTER_GPUS: '' })
  })

  it('shows none where the worker itself was given none', () => {
    assert.deepEqual(gpuEnvironment([], [], { CUDA_VISIBLE_DEVICES: '' }), { CUDA_VISIBLE_DEVICES: '-1' })
  })

  it('touches nothing on a host without cards', () => {
    assert.deepEqual(gpuEnvironment([], [], {}), {})
  })

  it('gives AMD cards in the variable in which the worker was given them', () => {
    const cards = [card('0', 'amd'), card('1', 'amd')]
    assert.deepEqual(gpuEnvironment(cards, ['1'], {}), {
      HIP_VISIBLE_DEVICES: '1',
      ROCR_VISIBLE_DEVICES: undefined,
      CUDA_VISIBLE_DEVICES: undefined,
      MUSTER_GPUS: '1',
    })
    assert.deepEqual(gpuEnvironment(cards, ['1'], { ROCR_VISIBLE_DEVICES: '0,1' }), {
      ROCR_VISIBLE_DEVICES: '1',
      HIP_VISIBLE_DEVICES: undefined,
      CUDA_VISIBLE_DEVICES: undefined,
      MUSTER_GPUS: '1',
    })
    assert.deepEqual(gpuEnvironment(cards, [], {}), {
      HIP_VISIBLE_DEVICES: '-1',
      ROCR_VISIBLE_DEVICES: '-1',
      CUDA_VISIBLE_DEVICES: undefined,
      MUSTER_GPUS: '',
    })
  })

  it('shows no card in place of a granted one that has fallen off', () => {
    const none = { CUDA_VISIBLE_DEVICES: '-1', HIP_VISIBLE_DEVICES: '-1', ROCR_VISIBLE_DEVICES: '-1' }
    assert.deepEqual(gpuEnvironment([], ['1'], {}), { ...none, MUSTER_GPUS: '1' })
    assert.deepEqual(gpuEnvironment([card('0')], ['1'], {}), { ...none, MUSTER_GPUS: '1' })
  })

  it('keeps vendors apart', () => {
    const cards = [card('GPU-1'), card('0', 'amd'), card('card1', 'intel')]
    assert.deepEqual(gpuEnvironment(cards, ['GPU-1', 'card1'], {}), {
      CUDA_VISIBLE_DEVICES: 'GPU-1',
      HIP_VISIBLE_DEVICES: '-1',
      ROCR_VISIBLE_DEVICES: '-1',
      MUSTER_GPUS: 'GPU-1,card1',
    })
  })
})
