/** Neural processors: what the kernel lists as compute accelerators that are not cards with a screen. */
import { linkOf, namesIn, obstacleOf, textOf, type Finding, type Host } from './probe.ts'

/** Names for people; the driver's own otherwise. */
const names: Readonly<Record<string, string>> = {
  intel_vpu: 'Intel NPU',
  amdxdna: 'AMD XDNA NPU',
  habanalabs: 'Habana Gaudi',
  qaic: 'Qualcomm Cloud AI',
  rocket: 'Rockchip NPU',
}

export async function findNpus(host: Host): Promise<Finding> {
  if (host.platform !== 'linux') return { unavailable: { npu: `Muster does not look for NPUs on ${host.platform}` } }
  const found: string[] = []
  const drivers = new Set<string>()
  const unusable: string[] = []
  for (const name of await namesIn(host, '/sys/class/accel')) {
    if (!/^accel\d+$/.test(name)) continue
    const driver =
      (await linkOf(host, `/sys/class/accel/${name}/device/driver`)) ??
      /^DRIVER=(.+)$/m.exec((await textOf(host, `/sys/class/accel/${name}/device/uevent`)) ?? '')?.[1] ??
      'unknown'
    const obstacle = await obstacleOf(host, `/dev/accel/${name}`)
    if (obstacle !== undefined) {
      unusable.push(`${names[driver] ?? driver}: ${obstacle}`)
      continue
    }
    found.push(names[driver] ?? driver)
    drivers.add(driver)
  }
  return {
    attributes: {
      'npu.count': found.length,
      ...(found.length > 0 ? { 'npu.models': found, 'npu.drivers': [...drivers] } : {}),
    },
    ...(unusable.length > 0 ? { unavailable: { npu: unusable.join('; ') } } : {}),
  }
}
