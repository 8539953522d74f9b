import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PlantedHost } from './fixtures/planted-host.ts'
import { findGpus } from './gpus.ts'

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
