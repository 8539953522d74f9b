/** Operating system and kernel, and what this machine runs in: a container, a virtual machine, or neither. */
import os from 'node:os'
import { existsSync } from 'node:fs'
import { namesIn, textOf, type Finding, type Host } from './probe.ts'

export async function findSystem(host: Host): Promise<Finding> {
  const release = (await textOf(host, '/etc/os-release')) ?? (await textOf(host, '/usr/lib/os-release'))
  const named = (key: string): string | undefined =>
    new RegExp(`^${key}="?([^"\\n]*)"?$`, 'm').exec(release ?? '')?.[1] || undefined
  return {
    attributes: {
      'os.distribution': named('ID'),
      'os.name': named('PRETTY_NAME'),
      'os.version': named('VERSION_ID'),
      kernel: os.release(),
      libc: await libc(host),
      container: await containerOf(host),
      vm: await virtualMachine(host),
    },
    ...(release === undefined && host.platform === 'linux'
      ? { unavailable: { 'os.distribution': 'there is no /etc/os-release' } }
      : {}),
  }
}

async function libc(host: Host): Promise<string | undefined> {
  if (host.platform !== 'linux') return undefined
  const loaders = [...(await namesIn(host, '/lib')), ...(await namesIn(host, '/lib64'))]
  if (loaders.some((name) => name.startsWith('ld-musl-'))) return 'musl'
  return loaders.some((name) => name.startsWith('ld-linux')) ? 'glibc' : undefined
}

/** What it is; false = none. */
export async function containerOf(host: Host): Promise<string | false> {
  const there = (file: string): boolean => existsSync(host.root + file)
  if (host.env['KUBERNETES_SERVICE_HOST']) return 'kubernetes'
  if (there('/run/.containerenv')) return 'podman'
  if (there('/.dockerenv')) return 'docker'
  const said = (await textOf(host, '/run/systemd/container')) ?? host.env['container']
  if (said) return said
  const groups = (await textOf(host, '/proc/1/cgroup')) ?? ''
  return /kubepods/.test(groups)
    ? 'kubernetes'
    : (/(docker|lxc|containerd|podman|libpod)/.exec(groups)?.[1]?.replace('libpod', 'podman') ?? false)
}

/** From the names that hypervisors give their machines; those that say nothing but set the processor's flag are `unknown`. */
async function virtualMachine(host: Host): Promise<string | false | undefined> {
  if (host.platform !== 'linux') return undefined
  const vendor = `${(await textOf(host, '/sys/class/dmi/id/sys_vendor')) ?? ''} ${(await textOf(host, '/sys/class/dmi/id/product_name')) ?? ''}`
  const known: readonly [RegExp, string][] = [
    [/QEMU|KVM|RHEV|OpenStack/i, 'kvm'],
    [/Amazon EC2/i, 'amazon'],
    [/Google Compute/i, 'google'],
    [/VMware/i, 'vmware'],
    [/VirtualBox|innotek/i, 'virtualbox'],
    [/Microsoft Corporation.*Virtual/i, 'hyper-v'],
    [/Xen/i, 'xen'],
    [/Parallels/i, 'parallels'],
    [/Apple Virtualization/i, 'apple'],
  ]
  const kernel = (await textOf(host, '/proc/sys/kernel/osrelease')) ?? ''
  if (/microsoft/i.test(kernel)) return 'wsl'
  const found = known.find(([pattern]) => pattern.test(vendor))
  // Bare machines of a cloud bear its name too, but not the flag.
  const flag = /^flags\s*:.*\bhypervisor\b/m.test((await textOf(host, '/proc/cpuinfo')) ?? '')
  if (found) return flag || !['amazon', 'google'].includes(found[1]) ? found[1] : false
  if ((await textOf(host, '/sys/hypervisor/type')) === 'xen') return 'xen'
  return flag ? 'unknown' : false
}
