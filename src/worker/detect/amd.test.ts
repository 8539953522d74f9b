import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PlantedHost, twoCards } from './fixtures/planted-host.ts'
import { findGpus } from './gpus.ts'
import type { Finding } from './probe.ts'

const a100 = 'GPU-11111111-aaaa-bbbb-cccc-000000000000'
const t4 = 'GPU-22222222-aaaa-bbbb-cccc-000000000001'

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

  it('has the names of an old release', async () => {
    const old = {
      card0: {
        'Unique ID': '0x213ee6ce1fa2e1a5',
        'VRAM Total Memory (B)': '34342961152',
        'VRAM Total Used Memory (B)': '10850304',
        'Card series': 'Arcturus GL-XL [AMD Instinct MI100]',
        'Card model': '0x0c34',
        'Card vendor': 'Advanced Micro Devices, Inc. [AMD/ATI]',
        'Card SKU': 'D34316',
      },
      card1: {
        'Unique ID': 'N/A',
        'VRAM Total Memory (B)': '17163091968',
        'Card series': 'N/A',
        'Card model': '0x744c',
      },
      system: { 'Driver version': '4.18.0-348.12.2.el8_5.x86_64' },
    }
    using host = new PlantedHost().program('rocm-smi', `echo '${JSON.stringify(old, null, 4)}'`)
    assert.deepEqual(
      (await findGpus(host.host({ ROCR_VISIBLE_DEVICES: 'GPU-213ee6ce1fa2e1a5,1' }))).gpus?.map((gpu) => [
        gpu.id,
        gpu.name,
      ]),
      [
        ['GPU-213ee6ce1fa2e1a5', 'Arcturus GL-XL [AMD Instinct MI100]'],
        ['1', 'AMD GPU 0x744c'],
      ],
    )
  })

  it('counts as HIP does: by compute nodes, not by the bus', async () => {
    const of = (name: string, node: string): object => ({
      'Card Series': name,
      'Node ID': node,
      'GFX Version': 'gfx1100',
    })
    const text = JSON.stringify({ card0: of('second', '2'), card1: of('screen only', 'N/A'), card2: of('first', '1') })
    using host = new PlantedHost().program('rocm-smi', `echo '${text}'`)
    assert.deepEqual(
      (await findGpus(host.host())).gpus?.map(({ id, name }) => [id, name]),
      [
        ['0', 'first'],
        ['1', 'second'],
      ],
    )
  })

  // As printed by ROCm 7: within an object, warnings before.
  const mi300 = (gpu: number, serial: string): object => ({
    gpu,
    asic: {
      market_name: 'AMD Instinct MI300X',
      vendor_id: '0x1002',
      asic_serial: serial,
      oam_id: 'N/A',
      target_graphics_version: 'gfx942',
    },
    vram: { type: 'HBM3', vendor: 'N/A', size: { value: 196592, unit: 'MB' } },
    driver: { name: 'amdgpu', version: '6.19.14' },
  })
  const amdSmi = (details: unknown, list: unknown, before = ''): PlantedHost =>
    new PlantedHost().program(
      'amd-smi',
      `case $1 in list) cat <<'L'\n${JSON.stringify(list, null, 4)}\nL\n;; *) cat <<'S'\n${before}${JSON.stringify(details, null, 4)}\nS\n;; esac`,
    )
  const node = (gpu: number, node_id: number | string): object => ({
    gpu,
    bdf: `0000:0${gpu}:00.0`,
    kfd_id: 1,
    node_id,
  })

  it("finds cards by amd-smi, in HIP's order, before it asks rocm-smi", async () => {
    using host = amdSmi(
      { gpu_data: [mi300(0, '0x6F1F0A2B3C4D5E6F'), mi300(1, '0x0000000000000000')] },
      [node(0, 3), node(1, 2)],
      '[WARNING] low-power state\n  • /dev/kfd (some devices)\n',
    ).program('rocm-smi', 'exit 1')
    const { gpus, unavailable } = await findGpus(host.host())
    const card = { vendor: 'amd', name: 'AMD Instinct MI300X', memoryBytes: 196592 * 2 ** 20, driver: '6.19.14' }
    assert.deepEqual(gpus, [
      { id: '0', ...card },
      { id: '1', uuid: 'GPU-6f1f0a2b3c4d5e6f', ...card },
    ])
    assert.deepEqual(unavailable, {})
    const second = await findGpus(host.host({ ROCR_VISIBLE_DEVICES: 'GPU-6f1f0a2b3c4d5e6f' }))
    assert.equal(second.gpus?.[0]?.id, 'GPU-6f1f0a2b3c4d5e6f')
  })

  it('takes the bare list of older releases, and N/A for anything', async () => {
    const card = { gpu: 0, asic: 'N/A', vram: { size: 'N/A' }, driver: 'N/A' }
    using host = amdSmi([card, { gpu: 1, asic: { market_name: 'N/A' }, vram: { size: '16368 MB' } }], [])
    assert.deepEqual((await findGpus(host.host())).gpus, [
      { id: '0', vendor: 'amd', name: 'AMD GPU', memoryBytes: 0 },
      { id: '1', vendor: 'amd', name: 'AMD GPU', memoryBytes: 16368 * 2 ** 20 },
    ])
  })

  it('asks for everything when an older amd-smi does not know the parts', async () => {
    using host = new PlantedHost().program(
      'amd-smi',
      `case $* in list*) exit 1;; *--vram*) echo 'amd-smi: error: unrecognized arguments: --vram' >&2; exit 2;; *) echo '${JSON.stringify([mi300(0, 'N/A')])}';; esac`,
    )
    assert.equal((await findGpus(host.host())).gpus?.[0]?.name, 'AMD Instinct MI300X')
  })

  for (const [script, why] of [
    ['echo [] ', 'amd-smi finds no card'],
    [
      'echo "WARNING: No JSON data to report"',
      "amd-smi printed 'WARNING: No JSON data to report' where JSON was expected",
    ],
    ['echo "{\\"gpu_data\\": [{\\"gpu\\": 0"', `amd-smi printed '{"gpu_data": [{"gpu": 0' where JSON was expected`],
    ['echo "AMDSMI_STATUS_DRIVER_NOT_LOADED" >&2; exit 255', 'amd-smi ended with 255: AMDSMI_STATUS_DRIVER_NOT_LOADED'],
    ['exec sleep 1000', 'amd-smi did not answer within 0.5 s'],
  ] as const) {
    it(`says why there are none: ${why}`, async () => {
      using host = new PlantedHost().program('amd-smi', script)
      // Only what hangs is given up soon: a busy machine may keep the others waiting.
      const { gpus, unavailable } = await findGpus(host.host({}, script.includes('sleep') ? 500 : 20_000))
      assert.deepEqual([gpus, unavailable?.['gpu']], [[], why])
    })
  }

  it('asks rocm-smi when amd-smi fails', async () => {
    using host = amd().program('amd-smi', 'exit 1')
    assert.equal((await findGpus(host.host())).gpus?.length, 3)
  })

  it('asks rocm-smi beside an amd-smi that hangs', async () => {
    using host = amd().program('amd-smi', 'exec sleep 1000')
    const beganMs = performance.now()
    assert.equal((await findGpus(host.host({}, 4000))).gpus?.length, 3)
    using both = new PlantedHost().program('amd-smi', 'exec sleep 1000').program('rocm-smi', 'exec sleep 1000')
    const { unavailable } = await findGpus(both.host({}, 4000))
    assert.equal(unavailable?.['gpu'], 'amd-smi did not answer within 4 s')
    assert.ok(performance.now() - beganMs < 12_000)
  })

  it("tells of NVIDIA's cards while AMD's tools hang, with the ids that they keep", async () => {
    const card = '/sys/class/drm/card1/device'
    using host = new PlantedHost()
      .nvidia(twoCards.listing, twoCards.cards)
      .program('amd-smi', 'exec sleep 1000')
      .files({ [`${card}/vendor`]: '0x1002\n', [`${card}/drm/renderD128/dev`]: '' })
      .links({ [`${card}/driver`]: '../../../bus/pci/drivers/amdgpu' })
    const told: Finding[] = []
    const found = await findGpus(host.host({}, 6000), (finding) => told.push(finding))
    assert.equal(told.length, 1)
    assert.match(told[0]!.unavailable!['gpu']!, /^no answer from amd-smi or rocm-smi yet \(the kernel lists card1/)
    assert.equal(told[0]!.gpus?.length, 2)
    assert.deepEqual(told[0]!.gpus, found.gpus)
  })

  const kfd = '/sys/class/kfd/kfd/topology/nodes'
  const ofKernel = (): PlantedHost =>
    new PlantedHost().files({
      [`${kfd}/0/properties`]: 'cpu_cores_count 64\nsimd_count 0\n',
      [`${kfd}/2/properties`]:
        'simd_count 304\nvendor_id 4098\ndevice_id 29857\ndrm_render_minor 128\nunique_id 18393613285571411049\n',
      [`${kfd}/2/mem_banks/0/properties`]: 'heap_type 1\nsize_in_bytes 206141652992\nflags 0\n',
      [`${kfd}/10/properties`]: 'simd_count 8\nvendor_id 4098\ndevice_id 5510\ndrm_render_minor 129\nunique_id 0\n',
      '/usr/share/misc/pci.ids':
        '1002  Advanced Micro Devices, Inc. [AMD/ATI]\n\t74a1  Aqua Vanjaram [Instinct MI300X]\n',
      '/sys/module/amdgpu/version': '6.10.5\n',
    })

  it("takes the kernel's list where neither tool is installed", async () => {
    using host = ofKernel().files({ '/dev/kfd': '', '/dev/dri/renderD128': '', '/dev/dri/renderD129': '' })
    assert.deepEqual((await findGpus(host.host())).gpus, [
      {
        id: '0',
        uuid: 'GPU-ff433dd46663bc69',
        vendor: 'amd',
        name: 'AMD Instinct MI300X',
        memoryBytes: 206_141_652_992,
        driver: '6.10.5',
      },
      { id: '1', vendor: 'amd', name: 'AMD GPU 0x1586', memoryBytes: 0, driver: '6.10.5' },
    ])
  })

  it('counts as HIP does where only some may be opened, and says why when none may', async () => {
    using host = ofKernel().files({ '/dev/kfd': '', '/dev/dri/renderD129': '' })
    assert.deepEqual(
      (await findGpus(host.host())).gpus?.map(({ id, name }) => [id, name]),
      [['0', 'AMD GPU 0x1586']],
    )
    using none = ofKernel()
    const { gpus, unavailable } = await findGpus(none.host())
    assert.deepEqual([gpus, unavailable?.['gpu']], [[], '/dev/kfd is not here'])
  })

  it('does not trust the list when a tool fails: its driver may hang', async () => {
    using host = ofKernel()
      .files({ '/dev/kfd': '', '/dev/dri/renderD128': '', '/dev/dri/renderD129': '' })
      .program('amd-smi', 'echo no driver >&2; exit 1')
    const { gpus, unavailable } = await findGpus(host.host())
    assert.deepEqual([gpus, unavailable?.['gpu']], [[], 'amd-smi ended with 1: no driver'])
  })

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
