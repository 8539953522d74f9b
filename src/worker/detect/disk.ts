/**
 * The disk that workspaces are on. Free space is told in whole GiB, and anew only when it has halved or doubled: each change of what a worker
 * says is an event in the log, and builds write all day.
 */
import { statfs } from 'node:fs/promises'
import { linkOf, namesIn, textOf, type Finding, type Host } from './probe.ts'

const gibibyte = 2 ** 30

type Mount = { readonly device: string; readonly point: string; readonly type: string; readonly source: string }

/** `toldFree`: what was said last. */
export async function findDisk(host: Host, toldFree?: unknown): Promise<Finding> {
  const { blocks, bavail, bsize } = await statfs(host.directory)
  const mount = mountOf((await textOf(host, '/proc/self/mountinfo')) ?? '', host.directory)
  return {
    attributes: {
      'disk.total': blocks * bsize,
      'disk.free': steady(Math.floor((bavail * bsize) / gibibyte) * gibibyte, toldFree),
      'disk.filesystem': mount?.type,
      'disk.kind': mount === undefined ? undefined : await kindOf(host, mount),
    },
  }
}

export function steady(free: number, told: unknown): number {
  return typeof told === 'number' && free >= told / 2 && free <= told * 2 && free > 0 ? told : free
}

/** The mount with the longest path above the directory; the last of several on one point covers the others. */
export function mountOf(table: string, directory: string): Mount | undefined {
  let best: Mount | undefined
  for (const line of table.split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const [, , device, , point] = before.split(' ')
    const [type, source] = after.split(' ')
    if (device === undefined || point === undefined || type === undefined) continue
    const plain = point.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
    const above = plain === '/' || directory === plain || directory.startsWith(`${plain}/`)
    if (above && (best === undefined || plain.length >= best.point.length))
      best = { device, point: plain, type, source: source ?? '' }
  }
  return best
}

/** nvme, ssd, hdd, virtual, memory, network, layered (a container's), or what the file system calls itself. */
async function kindOf(host: Host, mount: Mount): Promise<string | undefined> {
  if (mount.type === 'tmpfs' || mount.type === 'ramfs') return 'memory'
  if (/^(nfs|cifs|smb|9p|ceph|glusterfs|fuse\.sshfs|virtiofs|lustre)/.test(mount.type)) return 'network'
  if (mount.type === 'overlay') return 'layered'
  const disk = await diskOf(host, mount)
  if (disk === undefined) return undefined
  if (disk.startsWith('nvme')) return 'nvme'
  if (/^(vd|xvd)/.test(disk)) return 'virtual'
  const rotational = await textOf(host, `/sys/block/${disk}/queue/rotational`)
  return rotational === '1' ? 'hdd' : rotational === '0' ? 'ssd' : undefined
}

async function diskOf(host: Host, mount: Mount): Promise<string | undefined> {
  const device = await linkOf(host, `/sys/dev/block/${mount.device}`)
  const name = device ?? mount.source.replace(/^\/dev\//, '')
  const disks = await namesIn(host, '/sys/block')
  // A partition is named after its disk: sda1, nvme0n1p2.
  return disks.filter((disk) => name.startsWith(disk)).sort((a, b) => b.length - a.length)[0]
}
