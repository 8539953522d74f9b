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
        uuid: a100,
        vendor: 'nvidia',
        name: 'NVIDIA A100-PCIE-40GB',
        memoryBytes: 40 * 2 ** 30,
        driver: '550.54.15',
        computeCapability: '8.0',
      },
      {
        id: '1',
        uuid: t4,
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
    ['finds no card', 'echo No devices were found; exit 6', /^nvidia-smi ended with 6: No devices were found$/],
    ['finds no card and calls that a success', 'echo No devices were found', /^nvidia-smi finds no card$/],
    [
      'does not fit its driver',
      'echo "Failed to initialize NVML: Driver/library version mismatch"; echo "NVML library version: 570.195"; exit 18',
      /^nvidia-smi ended with 18: Failed to initialize NVML: Driver\/library version mismatch$/,
    ],
    [
      'can not reach its driver',
      `echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that …"; exit 9`,
      /^nvidia-smi ended with 9: NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver/,
    ],
    ['prints blank lines', 'echo; echo " "', /^nvidia-smi printed nothing where cards were expected$/],
    ['never stops printing', 'exec yes 0123456789', /^nvidia-smi printed more than 1024 KiB$/],
    ['can not be run', 'exec /nowhere/at/all', /^nvidia-smi ended with 12[67]: /],
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

  it('gives eight cards', async () => {
    const uuid = (index: number): string => `GPU-${index}0000000-aaaa-bbbb-cccc-000000000000`
    const cards = [0, 1, 2, 3, 4, 5, 6, 7]
    using host = new PlantedHost().nvidia(
      cards.map((index) => `GPU ${index}: NVIDIA H100 80GB HBM3 (UUID: ${uuid(index)})`).join('\n'),
      cards
        .map((index) => `${index}, ${uuid(index)}, NVIDIA H100 80GB HBM3, 81559, 550.127.08, 9.0, Disabled, P0, 31`)
        .join('\n'),
    )
    const { gpus, unavailable } = await findGpus(host.host())
    assert.deepEqual(gpus?.map((gpu) => gpu.id).join(), '0,1,2,3,4,5,6,7')
    assert.deepEqual(unavailable, {})
  })

  const broken = ([row, why]: readonly [string, string]): string =>
    `${twoCards.cards.split('\n')[0]}\n${row.replaceAll('WHY', why)}`
  for (const [what, text, why] of [
    [
      'is listed and must be reset',
      broken([`1, ${t4}, NVIDIA T4, 15360, 550.54.15, 7.5, [N/A], WHY, WHY`, '[GPU requires reset]']),
      'card 1: [GPU requires reset]',
    ],
    [
      'fell off the bus',
      broken(['1, WHY, WHY, WHY, WHY, WHY, WHY, WHY, WHY', '[GPU is lost]']),
      'card 1: [GPU is lost]',
    ],
    [
      'does not answer',
      broken([`1, ${t4}, NVIDIA T4, WHY, 550.54.15, 7.5, [N/A], WHY, WHY`, '[Unknown Error]']),
      'card 1: [Unknown Error]',
    ],
    [
      'is only complained about',
      broken(['Unable to determine the device handle for GPU0000:BA:00.0: WHY', 'Unknown Error']),
      'Unable to determine the device handle for GPU0000:BA:00.0: Unknown Error',
    ],
  ] as const) {
    it(`gives the other cards when one ${what}`, async () => {
      using host = new PlantedHost().nvidia(twoCards.listing, text)
      // The container's runtime has obeyed: the lost one counts as there.
      const { gpus, unavailable } = await findGpus(host.host({ NVIDIA_VISIBLE_DEVICES: '4,6' }))
      assert.deepEqual(
        gpus?.map((gpu) => gpu.id),
        ['0'],
      )
      assert.deepEqual(unavailable, { gpu: why })
    })
  }

  it('takes [N/A] and [Not Supported] for what is not told', async () => {
    using host = new PlantedHost().nvidia(
      '',
      `0, ${t4}, NVIDIA GB10, [N/A], 580.95.05, 12.1, [N/A], [Not Supported], [N/A]`,
    )
    assert.deepEqual((await findGpus(host.host())).gpus, [
      {
        id: '0',
        uuid: t4,
        vendor: 'nvidia',
        name: 'NVIDIA GB10',
        memoryBytes: 0,
        driver: '580.95.05',
        computeCapability: '12.1',
      },
    ])
  })

  it('gives no card that is cut and has no instance', async () => {
    using host = new PlantedHost().nvidia(twoCards.listing, slicedCard.cards)
    const { gpus, unavailable } = await findGpus(host.host())
    assert.deepEqual(
      gpus?.map((gpu) => gpu.id),
      ['1'],
    )
    assert.deepEqual(unavailable, { 'gpu.mig': 'card 0 is cut (MIG), and has no instance: nvidia-smi mig -cgi … -C' })
    const alone = await findGpus(host.host({ CUDA_VISIBLE_DEVICES: '0' }))
    assert.deepEqual(alone.gpus, [])
    assert.match(alone.unavailable?.['gpu'] ?? '', /^card 0 is cut \(MIG\)/)
  })

  it('does not give a cut card as a whole when its instances are not told', async () => {
    using host = new PlantedHost().program(
      'nvidia-smi',
      `case $1 in -L) echo broken; exit 3;; *) cat <<'Q'\n${slicedCard.cards}\nQ\n;; esac`,
    )
    const { gpus, unavailable } = await findGpus(host.host())
    assert.deepEqual(
      gpus?.map((gpu) => gpu.id),
      ['1'],
    )
    assert.deepEqual(unavailable, { 'gpu.mig': 'card 0 is cut (MIG), and nvidia-smi ended with 3: broken' })
  })

  for (const [line, profile, gibibytes] of [
    ['  MIG 1g.10gb     Device  0: (UUID: MIG-6e95ef19-5145-571b-b040-7e731f1c1af3)', '1g.10gb', 10],
    ['  MIG 1g.10gb+me  Device  1: (UUID: MIG-6e95ef19-5145-571b-b040-7e731f1c1af3)', '1g.10gb+me', 10],
    ['  MIG 1c.3g.40gb  Device  0: (UUID: MIG-6e95ef19-5145-571b-b040-7e731f1c1af3)', '1c.3g.40gb', 40],
    ['  MIG 3g.20gb Device 0: (UUID: MIG-GPU-11111111-aaaa-bbbb-cccc-000000000000/1/0)', '3g.20gb', 20],
  ] as const) {
    it(`knows the instance in '${line.trim()}'`, async () => {
      const [card] = slicedCard.listing.split('\n')
      using host = new PlantedHost().nvidia(`${card}\n${line}`, slicedCard.cards.split('\n')[0]!)
      const [gpu] = (await findGpus(host.host())).gpus ?? []
      assert.deepEqual([gpu?.name, gpu?.memoryBytes], [`NVIDIA A100-PCIE-40GB MIG ${profile}`, gibibytes * 2 ** 30])
      assert.match(gpu!.id, /^MIG-/)
    })
  }

  it('does without what an old driver does not know', async () => {
    using host = new PlantedHost().program(
      'nvidia-smi',
      `case $* in -L) echo broken; exit 3;; *compute_cap*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2;; *mig.mode*) echo 'Field "mig.mode.current" is not a valid field to query.'; exit 2;; *) echo '0, ${t4}, NVIDIA GB10, [N/A], 470.1, P0, 40';; esac`,
    )
    const found = await findGpus(host.host())
    assert.deepEqual(found.gpus, [
      { id: '0', uuid: t4, vendor: 'nvidia', name: 'NVIDIA GB10', memoryBytes: 0, driver: '470.1' },
    ])
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
      const { gpus, unavailable } = await findGpus(host.host({}, 500))
      assert.deepEqual([gpus, unavailable?.['gpu']], [[], why])
    })
  }

  it('asks rocm-smi when amd-smi fails', async () => {
    using host = amd().program('amd-smi', 'exit 1')
    assert.equal((await findGpus(host.host())).gpus?.length, 3)
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
      [`${drm}/card0/device/drm/renderD128/dev`]: '226:128\n',
      '/dev/dri/renderD128': '',
      [`${drm}/card0/lmem_total_bytes`]: '17179869184\n',
      [`${drm}/card0-HDMI-A-1/status`]: 'connected\n',
      [`${drm}/version`]: 'drm 1.1.0\n',
    })
    const { gpus } = await findGpus(host.host())
    assert.deepEqual(gpus, [
      { id: 'card0', vendor: 'intel', name: 'intel 0x56a0', memoryBytes: 2 ** 34, driver: 'i915' },
    ])
  })

  const arc = (): PlantedHost =>
    drivenBy(new PlantedHost(), 'xe').files({
      ...pci('0x8086'),
      [`${drm}/card0/device/device`]: '0xe20b\n',
      [`${drm}/card0/device/drm/renderD128/dev`]: '226:128\n',
      '/usr/share/misc/pci.ids':
        '1002  Advanced Micro Devices\n\te20b  Other\n8086  Intel Corporation\n\t0007  82379AB\n\te20b  Battlemage G21 [Arc B580]\n\t\t1849 6021  Challenger\n8087  Next\n',
    })

  it('names cards as the list of PCI devices does', async () => {
    using host = arc().files({ '/dev/dri/renderD128': '' })
    assert.equal((await findGpus(host.host())).gpus?.[0]?.name, 'Intel Arc B580')
  })

  it('does not count a card whose device is not in this container', async () => {
    using host = arc()
    const { gpus, unavailable } = await findGpus(host.host())
    const why = 'Intel Arc B580: /dev/dri/renderD128 is not here'
    assert.deepEqual([gpus, unavailable], [[], { gpu: why, 'gpu.drm': why }])
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
    assert.deepEqual(found.unavailable, { gpu: 'no nvidia-smi, no amd-smi or rocm-smi, and no card in /sys/class/drm' })
  })
})
