/**
 * Which machine this is, as a hash: the same under another host name or worker name, and after a reboot. Made of the
 * board's own id where it may be read (mostly by root only, so a worker of another user may get another
 * fingerprint); else of the system's installation id, the processor's model, the memory's size, and the serial numbers of
 * disks and network cards. Cards for computing are left out: a driver that hangs must not make another machine of it.
 * Containers on one machine have one fingerprint as far as they see the same hardware. It says nothing about
 * its owner, and what it was made of can't be found from it.
 */
import { createHash } from 'node:crypto'
import { namesIn, textOf, type Finding, type Host } from './probe.ts'
import { containerOf } from './system.ts'

/** What makers write where a number should be. */
const meaningless =
  /^(0*|f*|none|not specified|to be filled.*|default string|system serial number|0123456789.*|[0-]+|[f-]+|03000200-0400-0500-0006-000700080009)$/i

export async function findFingerprint(host: Host): Promise<{ fingerprint?: string } & Finding> {
  const marks = await marksOf(host)
  if (marks.length === 0) {
    return {
      unavailable: {
        fingerprint: 'nothing here is one of a kind: no board id, no machine-id, no network card of its own',
      },
    }
  }
  return { fingerprint: digest(marks) }
}

export function digest(marks: readonly string[]): string {
  return createHash('sha256')
    .update(['muster fingerprint 1', ...marks].join('\n'))
    .digest('hex')
    .slice(0, 32)
}

async function marksOf(host: Host): Promise<string[]> {
  for (const file of ['/sys/class/dmi/id/product_uuid', '/sys/firmware/devicetree/base/serial-number']) {
    // The device tree ends its texts with a zero byte.
    const board = (await textOf(host, file))?.replaceAll('\0', '').toLowerCase()
    if (board !== undefined && !meaningless.test(board)) return [`board ${board}`]
  }
  // A container's comes with its image, and is the same on every machine.
  const machine = (await containerOf(host)) === false ? ((await textOf(host, '/etc/machine-id')) ?? '') : ''
  const unique = [
    ...(/^[\da-f]{32}$/.test(machine) ? [`machine ${machine}`] : []),
    ...(await networkCards(host)),
    ...(await disks(host)),
  ]
  if (unique.length === 0) return []
  const model = /^model name\s*:\s*(.+)$/m.exec((await textOf(host, '/proc/cpuinfo')) ?? '')?.[1] ?? ''
  const memory = /^MemTotal:\s+(\d+) kB$/m.exec((await textOf(host, '/proc/meminfo')) ?? '')?.[1] ?? '0'
  // A kernel takes a little more or less for itself at each update.
  return [...unique, `cpu ${model}`, `memory ${Math.round(Number(memory) / 2 ** 20)} GiB`]
}

/** With hardware behind them, and an address that was not made up. */
async function networkCards(host: Host): Promise<string[]> {
  const found: string[] = []
  for (const name of await namesIn(host, '/sys/class/net')) {
    const folder = `/sys/class/net/${name}`
    const isHardware = (await namesIn(host, `${folder}/device`)).length > 0
    const address = await textOf(host, `${folder}/address`)
    if (!isHardware || (await textOf(host, `${folder}/addr_assign_type`)) !== '0') continue
    if (address !== undefined && !meaningless.test(address.replaceAll(':', ''))) found.push(`net ${address}`)
  }
  return found.sort()
}

/** Fixed ones only: a stick comes and goes. */
async function disks(host: Host): Promise<string[]> {
  const found: string[] = []
  for (const name of await namesIn(host, '/sys/block')) {
    if ((await textOf(host, `/sys/block/${name}/removable`)) === '1') continue
    const serial =
      (await textOf(host, `/sys/block/${name}/device/serial`)) ?? (await textOf(host, `/sys/block/${name}/serial`))
    if (serial !== undefined && !meaningless.test(serial)) found.push(`disk ${serial}`)
  }
  return found.sort()
}
