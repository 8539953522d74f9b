/**
 * What Linux says in /proc and /sys, on systems that have neither: from the optional package `systeminformation`, which knows
 * macOS's and Windows' own tools. It is not asked on Linux, where it starts programs for what a file says, and takes a
 * container's limits for the machine's.
 */
import type { Gpu } from '../../protocol/worker-messages.ts'
import { digest } from './fingerprint.ts'
import type { Finding, Host } from './probe.ts'

type Information = typeof import('systeminformation')

async function load(): Promise<Information> {
  try {
    const loaded = await import('systeminformation')
    return 'default' in loaded ? (loaded.default as Information) : loaded
  } catch (error) {
    throw new Error("needs the package 'systeminformation', which is not installed: npm install systeminformation", {
      cause: error,
    })
  }
}

export async function findElsewhere(host: Host): Promise<Finding & { fingerprint?: string }> {
  const { cpu, osInfo, system, graphics, diskLayout } = await load()
  const wait = <T>(asked: Promise<T>, what: string): Promise<T> => within(asked, host.askMs, what)
  const [processor, release, board, cards, disks] = await Promise.all([
    wait(cpu(), 'the processor'),
    wait(osInfo(), 'the operating system'),
    wait(system(), 'the board'),
    wait(graphics(), 'graphics cards'),
    wait(diskLayout(), 'disks'),
  ])
  const gpus = cards.controllers.flatMap((card, index) => gpuOf(card, index))
  const uuid = board.uuid.toLowerCase()
  return {
    attributes: {
      'cpu.model': `${processor.manufacturer} ${processor.brand}`.trim() || undefined,
      'cpu.physical': processor.physicalCores || undefined,
      'cpu.features': processor.flags === '' ? undefined : processor.flags.split(' ').sort(),
      'os.distribution': release.distro || undefined,
      'os.version': release.release || undefined,
      vm: board.virtual ? (board.virtualHost ?? 'unknown').toLowerCase() : false,
      'disk.kind': kindOf(disks[0]),
    },
    gpus,
    ...(/^[\da-f-]{32,36}$/.test(uuid) ? { fingerprint: digest([`board ${uuid}`]) } : {}),
  }
}

/** NVIDIA's are found by their own tool, which knows their UUIDs. */
function gpuOf(card: { vendor: string; model: string; vram: number | null }, index: number): Gpu[] {
  const text = `${card.vendor} ${card.model}`
  if (/basic (render|display)|hyper-v|remote|virtual|vmware|parallels|parsec|citrix|swiftshader|llvmpipe/i.test(text))
    return []
  if (/nvidia/i.test(text) || card.model === '') return []
  const vendor = /amd|advanced micro|radeon/i.test(text) ? 'amd' : /intel/i.test(text) ? 'intel' : 'other'
  return [{ id: `card${index}`, vendor, name: card.model, memoryBytes: (card.vram ?? 0) * 2 ** 20 }]
}

function kindOf(disk: { type: string; interfaceType: string } | undefined): string | undefined {
  if (disk === undefined) return undefined
  if (/nvme|pcie/i.test(disk.interfaceType)) return 'nvme'
  return /ssd/i.test(disk.type) ? 'ssd' : /hd/i.test(disk.type) ? 'hdd' : undefined
}

function within<T>(asked: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`${what} did not answer within ${timeoutMs / 1000} s`)), timeoutMs)
  return Promise.race([asked, promise]).finally(() => clearTimeout(timer))
}
