import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PlantedHost, slicedCard, twoCards } from './fixtures/planted-host.ts'
import { findGpus } from './gpus.ts'

const a100 = 'GPU-11111111-aaaa-bbbb-cccc-000000000000'
const t4 = 'GPU-22222222-aaaa-bbbb-cccc-000000000001'
const big = 'MIG-33333333-0000-5000-8000-000000000000'
const small = 'MIG-44444444-0000-5000-8000-000000000001'

async function idsWith(
  { listing, cards }: { readonly listing: string; readonly cards: string },
  env: Readonly<Record<string, string>>,
): Promise<string[]> {
  using host = new PlantedHost().nvidia(listing, cards)
  return ((await findGpus(host.host(env))).gpus ?? []).map((gpu) => gpu.id)
}

describe('findGpus: NVIDIA', () => {
  it('finds cards with their memory, driver and compute capability', async () => {
    using host = new PlantedHost().nvidia(twoCards.listing, twoCards.cards)
    const found = await findGpus(host.host())
    assert.deepEqual(found.gpus, [
      {
        id: '0',
        vendor: 'nvidia',
        name: 'NVIDIA A100-PCIE-40GB',
        memoryBytes: 40 * 2 ** 30,
        driver: '550.54.15',
        computeCapability: '8.0',
      },
      {
        id: '1',
        vendor: 'nvidia',
        name: 'NVIDIA T4',
        memoryBytes: 15 * 2 ** 30,
        driver: '550.54.15',
        computeCapability: '7.5',
      },
    ])
    assert.deepEqual(found.unavailable, {})
    assert.equal(found.attributes?.['gpu.computeCapability'], '7.5', 'what each of them has')
  })

  it('gives the slices of a card that is cut, and not the card', async () => {
    using host = new PlantedHost().nvidia(slicedCard.listing, slicedCard.cards)
    const { gpus } = await findGpus(host.host())
    assert.deepEqual(
      gpus?.map(({ id, name, memoryBytes, partOf }) => [id, name, memoryBytes / 2 ** 30, partOf]),
      [
        [big, 'NVIDIA A100-PCIE-40GB MIG 3g.20gb', 20, a100],
        [small, 'NVIDIA A100-PCIE-40GB MIG 1g.5gb', 5, a100],
        ['1', 'NVIDIA T4', 15, undefined],
      ],
    )
  })

  for (const [outer, expected] of [
    ['1', ['1']],
    ['1,0', ['1', '0']],
    ['', []],
    ['-1', []],
    ['NoDevFiles', []],
    // CUDA stops at the first name that means nothing.
    ['1,-1,0', ['1']],
    ['0,7,1', ['0']],
    [t4, [t4]],
    // A prefix that is one of a kind is a name; one that is not is none.
    ['GPU-2222', [t4]],
    ['GPU-', []],
    [`${t4},0`, [t4, '0']],
    [`1,${t4}`, ['1']],
  ] as const) {
    it(`keeps to CUDA_VISIBLE_DEVICES='${outer}'`, async () => {
      assert.deepEqual(await idsWith(twoCards, { CUDA_VISIBLE_DEVICES: outer }), expected)
    })
  }

  for (const [outer, expected] of [
    [small, [small]],
    [`${small},${big}`, [small, big]],
    ['0', [big, small]],
    ['MIG-3333', [big]],
    [a100, [big, small]],
    ['1', ['1']],
  ] as const) {
    it(`keeps to CUDA_VISIBLE_DEVICES='${outer}' where a card is cut`, async () => {
      assert.deepEqual(await idsWith(slicedCard, { CUDA_VISIBLE_DEVICES: outer }), expected)
    })
  }

  for (const [outer, expected] of [
    ['all', ['0', '1']],
    ['void', []],
    ['none', []],
    ['1', ['1']],
    [t4, ['1']],
    // The container's runtime has obeyed already: as many cards as were named.
    ['4,6', ['0', '1']],
  ] as const) {
    it(`keeps to NVIDIA_VISIBLE_DEVICES=${outer}`, async () => {
      assert.deepEqual(await idsWith(twoCards, { NVIDIA_VISIBLE_DEVICES: outer }), expected)
    })
  }

  it('says that there are cards which are not for this worker', async () => {
    using host = new PlantedHost().nvidia(twoCards.listing, twoCards.cards)
    const { unavailable } = await findGpus(host.host({ CUDA_VISIBLE_DEVICES: '' }))
    assert.match(unavailable?.['gpu'] ?? '', /^2 there, none for this worker/)
  })

  for (const [what, script, why] of [
    ['fails', 'echo "NVIDIA-SMI has failed"; exit 9', /^nvidia-smi ended with 9: NVIDIA-SMI has failed$/],
    [
      'prints garbage',
      'echo "<html>hello</html>"',
      /^nvidia-smi printed '<html>hello<\/html>' where a card was expected/,
    ],
    ['prints nothing', 'exit 0', /^nvidia-smi printed nothing where cards were expected$/],
    ['hangs', 'sleep 1000', /^nvidia-smi did not answer within 0.5 s$/],
  ] as const) {
    it(`says why there are none when nvidia-smi ${what}`, async () => {
      using host = new PlantedHost().program('nvidia-smi', script)
      const found = await findGpus(host.host({}, 500))
      assert.deepEqual(found.gpus, [])
      assert.match(found.unavailable?.['gpu'] ?? '', why)
    })
  }

  it('does without what an old driver does not know', async () => {
    using host = new PlantedHost().program(
      'nvidia-smi',
      `case $* in -L) echo broken; exit 3;; *compute_cap*) echo 'Field "compute_cap" is not a valid field'; exit 2;; *) echo '0, ${t4}, NVIDIA GB10, [N/A], 470.1';; esac`,
    )
    const found = await findGpus(host.host())
    assert.deepEqual(found.gpus, [{ id: '0', vendor: 'nvidia', name: 'NVIDIA GB10', memoryBytes: 0, driver: '470.1' }])
    assert.deepEqual(found.unavailable, { 'gpu.mig': 'nvidia-smi ended with 3: broken' })
  })
})

const rocm = JSON.stringify({
  card0: { 'Unique ID': '0xaaaa', 'VRAM Total Memory (B)': '68702699520', 'Card Series': 'AMD Instinct MI210' },
  card1: { 'Unique ID': '0xbbbb', 'VRAM Total Memory (B)': '17163091968', 'Card series': 'AMD Radeon PRO W6800' },
  card2: { 'Unique ID': '0xcccc', 'VRAM Total Memory (B)': '17163091968', 'Card series': 'AMD Radeon PRO W6800' },
  system: { 'Driver version': '6.2.4' },
})

describe('findGpus: AMD', () => {
  const amd = (): PlantedHost =>
    new PlantedHost().program('rocm-smi', `echo 'WARNING: low-power state'\necho '${rocm}'`)

  it('finds cards', async () => {
    using host = amd()
    const { gpus, unavailable } = await findGpus(host.host())
    assert.deepEqual(
      gpus?.map(({ id, vendor, name, memoryBytes, driver }) => [id, vendor, name, memoryBytes, driver]),
      [
        ['0', 'amd', 'AMD Instinct MI210', 68_702_699_520, '6.2.4'],
        ['1', 'amd', 'AMD Radeon PRO W6800', 17_163_091_968, '6.2.4'],
        ['2', 'amd', 'AMD Radeon PRO W6800', 17_163_091_968, '6.2.4'],
      ],
    )
    assert.deepEqual(unavailable, {})
  })

  for (const [env, expected] of [
    [{ HIP_VISIBLE_DEVICES: '2,0' }, ['2', '0']],
    [{ HIP_VISIBLE_DEVICES: '' }, []],
    [{ CUDA_VISIBLE_DEVICES: '1' }, ['1']],
    [{ ROCR_VISIBLE_DEVICES: '2,1' }, ['2', '1']],
    [{ ROCR_VISIBLE_DEVICES: 'GPU-bbbb' }, ['GPU-bbbb']],
    // HIP counts within what ROCR left.
    [{ ROCR_VISIBLE_DEVICES: '1,2', HIP_VISIBLE_DEVICES: '1' }, ['2']],
    [{ ROCR_VISIBLE_DEVICES: '-1' }, []],
  ] as const) {
    it(`keeps to ${JSON.stringify(env)}`, async () => {
      using host = amd()
      const { gpus } = await findGpus(host.host(env))
      assert.deepEqual(
        gpus?.map((gpu) => gpu.id),
        expected,
      )
    })
  }

  it('says what rocm-smi printed instead of cards', async () => {
    using host = new PlantedHost().program('rocm-smi', 'echo no JSON here')
    const { unavailable } = await findGpus(host.host())
    assert.equal(unavailable?.['gpu'], "rocm-smi printed 'no JSON here' where JSON was expected")
  })

  it('names NVIDIA cards by UUID beside AMD ones, so that no id means two cards', async () => {
    using host = amd().nvidia(twoCards.listing, twoCards.cards)
    const { gpus } = await findGpus(host.host())
    assert.deepEqual(
      gpus?.map((gpu) => gpu.id),
      [a100, t4, '0', '1', '2'],
    )
    const limited = await findGpus(host.host({ CUDA_VISIBLE_DEVICES: '1' }))
    assert.deepEqual(
      limited.gpus?.map((gpu) => gpu.id),
      [t4, '0', '1', '2'],
    )
  })
})

describe('findGpus: the kernel', () => {
  const drm = '/sys/class/drm'
  const pci = (vendor: string): Record<string, string> => ({ [`${drm}/card0/device/vendor`]: `${vendor}\n` })
  const drivenBy = (host: PlantedHost, driver: string): PlantedHost =>
    host.links({ [`${drm}/card0/device/driver`]: `../../../bus/pci/drivers/${driver}` })

  for (const driver of ['virtio_gpu', 'virtio-pci', 'bochs-drm', 'vmwgfx', 'vkms', 'simple-framebuffer', 'ast']) {
    it(`does not count the screen of ${driver}`, async () => {
      using host = drivenBy(new PlantedHost(), driver).files({
        ...pci('0x1af4'),
        [`${drm}/card0/device/drm/renderD128/dev`]: '',
      })
      const { gpus, unavailable } = await findGpus(host.host())
      assert.deepEqual(gpus, [])
      assert.match(unavailable?.['gpu'] ?? '', new RegExp(`not counted: card0 \\(${driver}\\)$`))
    })
  }

  it('counts an Intel card', async () => {
    using host = drivenBy(new PlantedHost(), 'i915').files({
      ...pci('0x8086'),
      [`${drm}/card0/device/device`]: '0x56a0\n',
      [`${drm}/card0/lmem_total_bytes`]: '17179869184\n',
      [`${drm}/card0-HDMI-A-1/status`]: 'connected\n',
      [`${drm}/version`]: 'drm 1.1.0\n',
    })
    const { gpus } = await findGpus(host.host())
    assert.deepEqual(gpus, [
      { id: 'card0', vendor: 'intel', name: 'intel 0x56a0', memoryBytes: 2 ** 34, driver: 'i915' },
    ])
  })

  it('says that a card is there whose tool is not', async () => {
    using host = drivenBy(new PlantedHost(), 'nvidia').files(pci('0x10de'))
    const { gpus, unavailable } = await findGpus(host.host())
    assert.deepEqual(gpus, [])
    assert.equal(unavailable?.['gpu'], 'nvidia-smi is not on PATH (the kernel lists card0, driver nvidia)')
  })

  it('says where it looked when there is nothing', async () => {
    using host = new PlantedHost()
    const found = await findGpus(host.host())
    assert.deepEqual(found.unavailable, { gpu: 'no nvidia-smi, no rocm-smi, and no card in /sys/class/drm' })
  })
})
