/**
 * Which machine this is, as a hash: the same under another host name, address or worker name, and after a reboot. Made of the
 * board's own id where it may be read (mostly by root only, so a worker of another user may get another
 * fingerprint); else of the system's installation id and its built-in network cards; where neither is there, of the serial numbers of
 * its disks. What is plugged in and pulled out is left out, and so are memory, whose size each kernel counts a little differently,
 * and cards for computing: a driver that hangs must not make another machine of it.
 * Containers on one machine have one fingerprint as far as they see the same hardware. It says nothing about
 * its owner, and what it was made of can't be found from it.
 */
import { createHash } from 'node:crypto'
import { linkOf, namesIn, textOf, type Finding, type Host } from './probe.ts'
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
  const own = [...(/^[\da-f]{32}$/.test(machine) ? [`machine ${machine}`] : []), ...(await networkCards(host))]
  // Most containers have neither; but disks are bought more often than machines.
  const unique = own.length > 0 ? own : await disks(host)
  if (unique.length === 0) return []
  const model = /^model name\s*:\s*(.+)$/m.exec((await textOf(host, '/proc/cpuinfo')) ?? '')?.[1] ?? ''
  return [...unique, `cpu ${model}`]
}

/** Built in, and with an address that was not made up. */
async function networkCards(host: Host): Promise<string[]> {
  const found: string[] = []
  for (const name of await namesIn(host, '/sys/class/net')) {
    const folder = `/sys/class/net/${name}`
    const isHardware = (await namesIn(host, `${folder}/device`)).length > 0
    const address = await textOf(host, `${folder}/address`)
    if (!isHardware || (await textOf(host, `${folder}/addr_assign_type`)) !== '0') continue
    if (await isPlugged(host, `${folder}/device`)) continue
    if (address !== undefined && !meaningless.test(address.replaceAll(':', ''))) found.push(`net ${address}`)
  }
  return found.sort()
}

/** A dock, an adapter, a stick. */
async function isPlugged(host: Host, device: string): Promise<boolean> {
  const bus = await linkOf(host, `${device}/subsystem`)
  return bus === 'usb' || bus === 'mmc' || (await textOf(host, `${device}/removable`)) === 'removable'
}

/** Fixed ones only. */
async function disks(host: Host): Promise<string[]> {
  const found: string[] = []
  for (const name of await namesIn(host, '/sys/block')) {
    if ((await textOf(host, `/sys/block/${name}/removable`)) === '1') continue
    if (await isPlugged(host, `/sys/block/${name}/device`)) continue
    const serial =
      (await textOf(host, `/sys/block/${name}/device/serial`)) ?? (await textOf(host, `/sys/block/${name}/serial`))
    if (serial !== undefined && !meaningless.test(serial)) found.push(`disk ${serial}`)
  }
  return found.sort()
}
