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
        [t4, 'NVIDIA T4', 15, undefined],
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
    ['1', [t4]],
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
      // Only what hangs is given up soon: a busy machine may keep the others waiting.
      const found = await findGpus(host.host({}, what === 'hangs' ? 500 : 20_000))
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
        [a100],
      )
      assert.deepEqual(unavailable, { gpu: why })
    })
  }

  it('gives the cards that are told of before one makes nvidia-smi fail', async () => {
    using host = new PlantedHost().program(
      'nvidia-smi',
      `case $1 in -L) exit 255;; *) echo '${twoCards.cards.split('\n')[1]}'; echo 'Unable to determine the device handle for GPU1: Unknown Error'; exit 255;; esac`,
    )
    const { gpus, unavailable } = await findGpus(host.host())
    assert.deepEqual(
      gpus?.map((gpu) => gpu.id),
      [t4],
    )
    assert.equal(unavailable?.['gpu'], 'Unable to determine the device handle for GPU1: Unknown Error')
  })

  it('takes a line that was cut off for no card: it may be one that is cut into slices', async () => {
    const [cut = '', whole = ''] = slicedCard.cards.split('\n')
    const early = cut.slice(0, cut.indexOf('Enabled'))
    using host = new PlantedHost().program(
      'nvidia-smi',
      `case $1 in -L) exit 255;; *) echo '${whole}'; printf '%s' '${early}'; kill -SEGV $$;; esac`,
    )
    const { gpus, unavailable } = await findGpus(host.host())
    assert.deepEqual(
      gpus?.map((gpu) => gpu.id),
      [t4],
    )
    assert.equal(unavailable?.['gpu'], 'card 0: nvidia-smi ended in the middle of its line')
  })

  it('gives each card once, whatever warnings stand beside it and commas in its name', async () => {
    const [card = ''] = twoCards.cards.split('\n')
    const warning = 'WARNING: infoROM is corrupted at gpu 0000:00:04.0'
    using host = new PlantedHost().nvidia('', `${warning}\n${card}\n${card.replace('A100-', 'A100, ')}`)
    const { gpus, unavailable } = await findGpus(host.host())
    assert.deepEqual(
      gpus?.map(({ id, name, memoryBytes }) => [id, name, memoryBytes]),
      [['0', 'NVIDIA A100, PCIE-40GB', 40960 * 2 ** 20]],
    )
    assert.deepEqual(unavailable, { gpu: warning })
  })

  for (const row of [`12345678901234567890, ${t4}, NVIDIA T4, 1`, `-1, ${t4}, NVIDIA T4, 1`, `0, ${t4}, , 1`]) {
    it(`takes '${row}' for no card`, async () => {
      using host = new PlantedHost().nvidia('', row)
      const { gpus, unavailable } = await findGpus(host.host())
      assert.deepEqual(gpus, [])
      assert.match(unavailable?.['gpu'] ?? '', /where a card was expected/)
    })
  }

  it('takes memory that nothing has for memory that is not told', async () => {
    using host = new PlantedHost().nvidia('', `0, ${t4}, NVIDIA T4, ${'9'.repeat(30)}, 1, 7.5, [N/A], P8, 29`)
    assert.equal((await findGpus(host.host())).gpus?.[0]?.memoryBytes, 0)
  })

  it('takes [N/A], [Not Supported] and an [Unknown Error] of a sensor for what is not told', async () => {
    using host = new PlantedHost().nvidia(
      '',
      `0, ${t4}, NVIDIA GB10, [N/A], 580.95.05, 12.1, [N/A], [Not Supported], [Unknown Error]`,
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
      [t4],
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
      [t4],
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
