/**
 * Graphics cards as the kernel lists them, for vendors that have no tool of their own here. What is only a screen (of a
 * virtual machine, or of a server's management controller) and what is drawn by the processor never counts.
 */
import { pciName } from './pci-names.ts'
import { linkOf, namesIn, numberOf, obstacleOf, textOf, type Host } from './probe.ts'

export type DrmCard = {
  /** e.g. card0 */
  readonly node: string
  readonly driver: string
  readonly vendor: 'nvidia' | 'amd' | 'intel' | 'other'
  readonly name: string
  readonly memoryBytes: number
  /** Why its device can't be used from here, though the kernel lists it: containers see all of /sys. */
  readonly obstacle: string | undefined
}

/** No computing behind them: virtual screens, display controllers, software. */
const notGpus: ReadonlySet<string> = new Set(
  (
    'virtio_gpu virtio-pci virtio_pci bochs bochs-drm vmwgfx vboxvideo qxl cirrus cirrus-qemu hyperv_drm xen-drm ' +
    'vkms vgem simpledrm simple-framebuffer efifb ast mgag200 udl evdi gud'
  ).split(' '),
)

const vendors: Readonly<Record<string, 'nvidia' | 'amd' | 'intel'>> = {
  '0x10de': 'nvidia',
  '0x1002': 'amd',
  '0x8086': 'intel',
}

export async function drmCards(host: Host): Promise<{ cards: DrmCard[]; left: string[] }> {
  const cards: DrmCard[] = []
  const left: string[] = []
  for (const node of await namesIn(host, '/sys/class/drm')) {
    if (!/^card\d+$/.test(node)) continue
    const folder = `/sys/class/drm/${node}/device`
    const uevent = (await textOf(host, `${folder}/uevent`)) ?? ''
    const driver = (await linkOf(host, `${folder}/driver`)) ?? /^DRIVER=(.+)$/m.exec(uevent)?.[1] ?? ''
    const id = (await textOf(host, `${folder}/vendor`)) ?? ''
    const vendor = vendors[id] ?? 'other'
    // A virtual function of a real card keeps its driver; a card without any driver can't be used by anybody.
    const render = (await namesIn(host, `${folder}/drm`)).find((one) => one.startsWith('renderD'))
    if (driver === '' || notGpus.has(driver) || (vendor === 'other' && render === undefined)) {
      left.push(`${node} (${driver === '' ? 'no driver' : driver})`)
      continue
    }
    const device = (await textOf(host, `${folder}/device`)) ?? ''
    const label = (await textOf(host, `${folder}/product_name`)) || undefined
    cards.push({
      node,
      driver,
      vendor,
      name: label ?? (await pciName(host, id, device)) ?? `${vendor === 'other' ? driver : vendor} ${device}`.trim(),
      memoryBytes:
        (await numberOf(host, `${folder}/mem_info_vram_total`)) ??
        (await numberOf(host, `/sys/class/drm/${node}/lmem_total_bytes`)) ??
        (await numberOf(host, `${folder}/tile0/physical_vram_size_bytes`)) ??
        0,
      obstacle:
        render === undefined
          ? 'it has no device to compute with (renderD…)'
          : await obstacleOf(host, `/dev/dri/${render}`),
    })
  }
  return { cards, left }
}
