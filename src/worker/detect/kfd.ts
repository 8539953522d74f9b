/**
 * AMD cards as the kernel lists them for computing, where no tool of AMD's is installed: ROCm's libraries, as Python packages bring them
 * along, need none. HIP counts in this order, and leaves out what it may not open, as in a container that was given some only.
 */
import type { UnorderedCard } from './amd-card.ts'
import { uuidOf } from './amd-card.ts'
import { pciName } from './pci-names.ts'
import { namesIn, obstacleOf, textOf, type Host } from './probe.ts'

const nodes = '/sys/class/kfd/kfd/topology/nodes'

/** Rejects when there are some and none may be opened. */
export async function kfdCards(host: Host): Promise<UnorderedCard[]> {
  const cards: UnorderedCard[] = []
  const obstacles: string[] = []
  const driver = await textOf(host, '/sys/module/amdgpu/version')
  for (const node of await namesIn(host, nodes)) {
    const properties = (await textOf(host, `${nodes}/${node}/properties`)) ?? ''
    const of = (name: string): bigint => BigInt(new RegExp(`^${name} (\\d{1,20})$`, 'm').exec(properties)?.[1] ?? 0)
    // Processors are nodes as well.
    if (of('simd_count') === 0n) continue
    const obstacle =
      (await obstacleOf(host, '/dev/kfd')) ?? (await obstacleOf(host, `/dev/dri/renderD${of('drm_render_minor')}`))
    if (obstacle !== undefined) {
      if (!obstacles.includes(obstacle)) obstacles.push(obstacle)
      continue
    }
    const name = await pciName(host, hexadecimal(of('vendor_id')), hexadecimal(of('device_id')))
    cards.push({
      index: cards.length,
      node: Number(node),
      uuid: uuidOf(`0x${of('unique_id').toString(16)}`),
      name: name ?? `AMD GPU ${hexadecimal(of('device_id'))}`,
      memoryBytes: await memoryBytes(host, `${nodes}/${node}/mem_banks`),
      driver,
    })
  }
  if (cards.length === 0 && obstacles.length > 0) throw new Error(obstacles.join('; '))
  return cards
}

function hexadecimal(id: bigint): string {
  return `0x${id.toString(16).padStart(4, '0')}`
}

/** Of the card's own: heaps of types 1 and 2. */
async function memoryBytes(host: Host, folder: string): Promise<number> {
  let sum = 0
  for (const bank of await namesIn(host, folder)) {
    const text = (await textOf(host, `${folder}/${bank}/properties`)) ?? ''
    if (/^heap_type [12]$/m.test(text)) sum += Number(/^size_in_bytes (\d+)$/m.exec(text)?.[1] ?? 0)
  }
  return sum
}
