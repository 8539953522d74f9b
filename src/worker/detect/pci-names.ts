/** What PCI devices are called, for cards that don't tell. */
import { textOf, type Host } from './probe.ts'

/** Both as /sys has them: `0x8086`. From the list that most systems have: `\t56a0  DG2 [Arc A770]` below `8086  Intel Corporation`. */
export async function pciName(host: Pick<Host, 'root'>, vendor: string, device: string): Promise<string | undefined> {
  const list =
    (await textOf(host, '/usr/share/misc/pci.ids')) ?? (await textOf(host, '/usr/share/hwdata/pci.ids')) ?? ''
  const maker = new RegExp(`^${vendor.slice(2)} {2}(.+)$`, 'm').exec(list)
  if (maker === null || !/^0x[\da-f]{4}$/.test(device)) return undefined
  const after = list.slice(maker.index + maker[0].length)
  const its = after.slice(0, /\n[\da-f]/.exec(after)?.index)
  const name = new RegExp(`^\\t${device.slice(2)} {2}(.+)$`, 'm').exec(its)?.[1]
  // `DG2 [Arc A770]`: the name that it is sold under.
  const short = /\[(AMD)\b/.exec(maker[1]!)?.[1] ?? maker[1]!.split(' ')[0]
  return name === undefined ? undefined : `${short} ${/\[(.+)\]/.exec(name)?.[1] ?? name}`
}
