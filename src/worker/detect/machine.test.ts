/** The probes that read files, on planted machines. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { describe, it } from 'node:test'
import { findAndroidDevices } from './adb.ts'
import { findCpu } from './cpu.ts'
import { findDisk, mountOf, steady } from './disk.ts'
import { findFingerprint } from './fingerprint.ts'
import { PlantedHost } from './fixtures/planted-host.ts'
import { findMemory } from './memory.ts'
import { findNpus } from './npu.ts'
import { findElsewhere } from './other-systems.ts'
import { findSystem } from './system.ts'

const processor = (index: number, core: number): string =>
  `processor\t: ${index}\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7543\nphysical id\t: 0\ncore id\t\t: ${core}\nflags\t\t: fpu avx2 hypervisor sse4_2 nonsense\n`

describe('findCpu', () => {
  it('counts cores by their ids, and keeps the features that matter', async () => {
    using host = new PlantedHost().files({
      '/proc/cpuinfo': [processor(0, 0), processor(1, 0), processor(2, 1), processor(3, 1)].join('\n'),
      '/sys/devices/system/node/node0/cpulist': '0-1',
      '/sys/devices/system/node/node1/cpulist': '2-3',
      '/sys/devices/system/node/possible': '0-1',
      '/proc/self/cgroup': '0::/job\n',
      '/sys/fs/cgroup/job/cpu.max': '150000 100000\n',
    })
    const { attributes, unavailable } = await findCpu(host.host())
    assert.deepEqual(attributes, {
      'cpu.model': 'AMD EPYC 7543',
      'cpu.vendor': 'AuthenticAMD',
      'cpu.logical': 4,
      'cpu.physical': 2,
      'cpu.quota': 1.5,
      'cpu.features': ['avx2', 'sse4_2'],
      'numa.nodes': 2,
    })
    assert.equal(unavailable, undefined)
  })

  it('believes the topology before /proc/cpuinfo', async () => {
    const topology = (cpu: number, core: number): Record<string, string> => ({
      [`/sys/devices/system/cpu/cpu${cpu}/topology/core_id`]: `${core}\n`,
      [`/sys/devices/system/cpu/cpu${cpu}/topology/physical_package_id`]: '0\n',
    })
    using host = new PlantedHost().files({
      '/proc/cpuinfo': 'processor\t: 0\n\nprocessor\t: 1\n\nprocessor\t: 2\n',
      ...topology(0, 0),
      ...topology(1, 0),
      ...topology(2, 1),
    })
    const { attributes } = await findCpu(host.host())
    assert.deepEqual([attributes?.['cpu.physical'], attributes?.['cpu.logical']], [2, 3])
  })

  it('says when it could not look', async () => {
    using host = new PlantedHost()
    assert.deepEqual((await findCpu(host.host())).unavailable, { cpu: '/proc/cpuinfo cannot be read' })
  })
})

describe('findMemory', () => {
  const meminfo = { '/proc/meminfo': 'MemTotal:       8388608 kB\nSwapTotal:             0 kB\n' }

  it('has the limit of the cgroup, or of one above it', async () => {
    using host = new PlantedHost().files({
      ...meminfo,
      '/proc/self/cgroup': '0::/slice/job\n',
      '/sys/fs/cgroup/slice/memory.max': '2147483648\n',
      '/sys/fs/cgroup/slice/job/memory.max': 'max\n',
    })
    const { attributes } = await findMemory(host.host())
    assert.deepEqual(attributes, { 'memory.total': 2 ** 33, 'memory.limit': 2 ** 31, 'memory.swap': 0 })
  })

  it('tells anew what there is in all only when that has changed by a tenth', async () => {
    using host = new PlantedHost().files({ '/proc/meminfo': 'MemTotal:       950 kB\n' })
    assert.equal((await findMemory(host.host(), 1_000_000)).attributes?.['memory.total'], 1_000_000)
    assert.equal((await findMemory(host.host(), 2_000_000)).attributes?.['memory.total'], 950 * 1024)
  })

  it('knows the limit of version 1, and its way to say none', async () => {
    using host = new PlantedHost().files({
      ...meminfo,
      '/proc/self/cgroup': '4:memory:/job\n0::/\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
      '/sys/fs/cgroup/memory/job/memory.limit_in_bytes': '1073741824\n',
    })
    assert.equal((await findMemory(host.host())).attributes?.['memory.limit'], 2 ** 30)
    host.files({ '/sys/fs/cgroup/memory/job/memory.limit_in_bytes': '9223372036854771712\n' })
    assert.equal((await findMemory(host.host())).attributes?.['memory.limit'], undefined)
  })
})

describe('findDisk', () => {
  const table = [
    '22 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw',
    '30 22 0:40 / /data rw - tmpfs tmpfs rw',
    '31 22 8:17 / /data/with\\040space rw - xfs /dev/sdb1 rw',
  ].join('\n')

  it('finds the mount that a directory is on', () => {
    assert.equal(mountOf(table, '/home')?.source, '/dev/nvme0n1p2')
    assert.equal(mountOf(table, '/data/x')?.type, 'tmpfs')
    assert.equal(mountOf(table, '/database')?.type, 'ext4')
    assert.equal(mountOf(table, '/data/with space/x')?.type, 'xfs')
    assert.equal(mountOf('', '/'), undefined)
  })

  it('tells anew what is free only when that has halved or doubled, or nothing is left', () => {
    const told: number[] = []
    for (const free of [100, 60, 50, 49, 90, 99, 0, 1, 2, 0]) told.push(steady(free, told.at(-1)))
    assert.deepEqual(told, [100, 100, 100, 49, 49, 99, 0, 1, 1, 0])
  })

  for (const [source, files, kind] of [
    ['ext4 /dev/nvme0n1p2', { '/sys/block/nvme0n1/queue/rotational': '0' }, 'nvme'],
    ['xfs /dev/sdb1', { '/sys/block/sdb/queue/rotational': '1', '/sys/block/sd/queue/rotational': '0' }, 'hdd'],
    ['xfs /dev/sdb1', { '/sys/block/sdb/queue/rotational': '0' }, 'ssd'],
    ['ext4 /dev/vda', { '/sys/block/vda/queue/rotational': '1' }, 'virtual'],
    ['tmpfs tmpfs', {}, 'memory'],
    ['nfs4 server:/export', {}, 'network'],
    ['overlay overlay', {}, 'layered'],
    ['ext4 /dev/unheard-of', {}, undefined],
  ] as const) {
    it(`tells the kind of ${source}: ${kind}`, async () => {
      using host = new PlantedHost().files({ '/proc/self/mountinfo': `22 1 8:17 / / rw - ${source} rw\n`, ...files })
      const { attributes } = await findDisk(host.host())
      assert.equal(attributes?.['disk.kind'], kind)
      assert.ok((attributes?.['disk.total'] as number) > 0)
    })
  }
})

describe('findSystem', () => {
  const release = { '/etc/os-release': 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n' }

  it('names distribution and version', async () => {
    using host = new PlantedHost().files({ ...release, '/lib/ld-musl-x86_64.so.1': '' })
    const { attributes } = await findSystem(host.host())
    assert.equal(attributes?.['os.distribution'], 'debian')
    assert.equal(attributes?.['os.version'], '12')
    assert.equal(attributes?.['libc'], 'musl')
    assert.deepEqual([attributes?.['container'], attributes?.['vm']], [false, false])
  })

  for (const [what, files, env, expected] of [
    ['docker', { '/.dockerenv': '' }, {}, 'docker'],
    ['podman', { '/run/.containerenv': '' }, {}, 'podman'],
    ['a pod', { '/.dockerenv': '' }, { KUBERNETES_SERVICE_HOST: '10.0.0.1' }, 'kubernetes'],
    ['lxc', { '/run/systemd/container': 'lxc\n' }, {}, 'lxc'],
    ['cgroups', { '/proc/1/cgroup': '0::/system.slice/docker-abc.scope\n' }, {}, 'docker'],
  ] as const) {
    it(`sees that it is inside of a container: ${what}`, async () => {
      using host = new PlantedHost().files(files)
      assert.equal((await findSystem(host.host(env))).attributes?.['container'], expected)
    })
  }

  for (const [vendor, product, flags, expected] of [
    ['QEMU', 'Standard PC', 'hypervisor', 'kvm'],
    ['VMware, Inc.', 'VMware7,1', 'hypervisor', 'vmware'],
    ['Amazon EC2', 'm7i.metal', '', false],
    ['Amazon EC2', 'm7i.large', 'hypervisor', 'amazon'],
    ['Dell Inc.', 'PowerEdge', '', false],
    ['', '', 'hypervisor', 'unknown'],
  ] as const) {
    it(`tells the virtual machine of '${vendor} ${product}': ${expected}`, async () => {
      using host = new PlantedHost().files({
        '/sys/class/dmi/id/sys_vendor': vendor,
        '/sys/class/dmi/id/product_name': product,
        '/proc/cpuinfo': `flags\t\t: fpu ${flags} avx\n`,
      })
      assert.equal((await findSystem(host.host())).attributes?.['vm'], expected)
    })
  }
})

describe('findNpus', () => {
  it('counts those whose device can be opened', async () => {
    using host = new PlantedHost()
      .files({ '/dev/accel/accel0': '', '/sys/class/accel/accel0/dev': '', '/sys/class/accel/accel1/dev': '' })
      .links({
        '/sys/class/accel/accel0/device/driver': '../bus/pci/drivers/intel_vpu',
        '/sys/class/accel/accel1/device/driver': '../bus/pci/drivers/amdxdna',
      })
    const { attributes, unavailable } = await findNpus(host.host())
    assert.deepEqual(attributes, { 'npu.count': 1, 'npu.models': ['Intel NPU'], 'npu.drivers': ['intel_vpu'] })
    assert.deepEqual(unavailable, { npu: 'AMD XDNA NPU: /dev/accel/accel1 is not here' })
  })

  it('counts none where there are none', async () => {
    using host = new PlantedHost()
    assert.deepEqual(await findNpus(host.host()), { attributes: { 'npu.count': 0 } })
  })
})

describe('findFingerprint', () => {
  const machine = {
    '/etc/machine-id': '0123456789abcdef0123456789abcdef\n',
    '/proc/cpuinfo': 'model name\t: AMD EPYC 7543\n',
    '/proc/meminfo': 'MemTotal:       8388608 kB\n',
  }
  const card = {
    '/sys/class/net/eth0/address': '52:54:00:12:34:56\n',
    '/sys/class/net/eth0/addr_assign_type': '0\n',
    '/sys/class/net/eth0/device/vendor': '',
  }
  const of = async (host: PlantedHost): Promise<string | undefined> => (await findFingerprint(host.host())).fingerprint

  it('is the same again, and another one with other hardware', async () => {
    using host = new PlantedHost().files({ ...machine, ...card })
    const first = await of(host)
    assert.match(first ?? '', /^[0-9a-f]{32}$/)
    // What comes and goes: an update of the kernel takes some memory, a bridge, a stick.
    host.files({
      '/proc/meminfo': 'MemTotal:       8380000 kB\n',
      '/sys/class/net/br0/address': '02:42:00:00:00:01\n',
      '/sys/class/net/br0/addr_assign_type': '3\n',
      '/sys/block/sdz/removable': '1\n',
      '/sys/block/sdz/device/serial': 'STICK\n',
      '/sys/block/nvme1n1/device/serial': 'A NEW DISK\n',
      '/sys/class/net/usb0/address': '00:e0:4c:00:00:01\n',
      '/sys/class/net/usb0/addr_assign_type': '0\n',
      '/sys/class/net/dock0/address': '00:e0:4c:00:00:02\n',
      '/sys/class/net/dock0/addr_assign_type': '0\n',
      '/sys/class/net/dock0/device/removable': 'removable\n',
      '/etc/hostname': 'renamed\n',
      '/proc/sys/kernel/hostname': 'renamed\n',
    })
    host.links({ '/sys/class/net/usb0/device/subsystem': '../../../bus/usb' })
    assert.equal(await of(host), first)
    host.files({ '/sys/class/net/eth0/address': '52:54:00:99:99:99\n' })
    assert.notEqual(await of(host), first)
  })

  it('is the board alone where that has an id', async () => {
    const board = { '/sys/class/dmi/id/product_uuid': '4C4C4544-0042-4A10-8056-B4C04F4E3432\n' }
    using one = new PlantedHost().files({ ...machine, ...board })
    using two = new PlantedHost().files({ ...card, ...board })
    assert.equal(await of(one), await of(two))
    const meaningless = { '/sys/class/dmi/id/product_uuid': '00000000-0000-0000-0000-000000000000\n' }
    using three = new PlantedHost().files({ ...machine, ...meaningless })
    using four = new PlantedHost().files(machine)
    assert.equal(await of(three), await of(four))
  })

  it('is made of disks in a container that sees nothing else, so that it is the same after a restart', async () => {
    const disk = { '/sys/block/nvme0n1/device/serial': 'S5GXNX0T\n', '/.dockerenv': '' }
    using one = new PlantedHost().files({ ...machine, ...disk })
    using two = new PlantedHost().files({
      ...disk,
      '/proc/cpuinfo': machine['/proc/cpuinfo'],
      '/etc/machine-id': 'f'.repeat(32),
    })
    const first = await of(one)
    assert.match(first ?? '', /^[0-9a-f]{32}$/)
    assert.equal(await of(two), first)
    two.files({ '/sys/block/nvme0n1/device/serial': 'ANOTHER\n' })
    assert.notEqual(await of(two), first)
  })

  it('is not made of what a container brings along', async () => {
    using host = new PlantedHost().files({ ...machine, '/.dockerenv': '' })
    const { fingerprint, unavailable } = await findFingerprint(host.host())
    assert.equal(fingerprint, undefined)
    assert.match(unavailable?.['fingerprint'] ?? '', /^nothing here is one of a kind/)
  })
})

describe('findAndroidDevices', () => {
  async function server(answer: string): Promise<net.Server & { port: string }> {
    const listening = net.createServer((socket) => {
      socket.once('data', (data) => socket.end(data.toString() === '000chost:devices' ? answer : 'FAIL0000'))
    })
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
    return Object.assign(listening, { port: String((listening.address() as net.AddressInfo).port) })
  }

  it('counts devices that can be used', async () => {
    const list = 'emulator-5554\tdevice\nR58N\tunauthorized\n'
    await using adb = await server(`OKAY${list.length.toString(16).padStart(4, '0')}${list}`)
    using host = new PlantedHost()
    const found = await findAndroidDevices(host.host({ ANDROID_ADB_SERVER_PORT: adb.port }))
    assert.deepEqual(found, {
      attributes: { 'adb.devices': 1 },
      unavailable: { 'adb.devices': 'R58N is unauthorized' },
    })
  })

  it('says that no server runs, and starts none', async () => {
    const adb = await server('')
    const { port } = adb
    await adb[Symbol.asyncDispose]()
    using host = new PlantedHost()
    await assert.rejects(findAndroidDevices(host.host({ ANDROID_ADB_SERVER_PORT: port })), {
      message: `no adb server on port ${port}; 'adb start-server' starts it`,
    })
  })
})

describe('findElsewhere', () => {
  it('reads what systeminformation says, as other systems have it', async () => {
    using host = new PlantedHost()
    const { attributes } = await findElsewhere({ ...host.host(), env: process.env })
    assert.equal(typeof attributes?.['cpu.model'], 'string')
    assert.equal(typeof attributes?.['os.distribution'], 'string')
  })
})
