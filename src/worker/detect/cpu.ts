/** The processor: model, cores, the instruction sets that tests ask for, and what the cgroup leaves of it. */
import os from 'node:os'
import { cgroupCpus } from '../capabilities.ts'
import { namesIn, textOf, type Finding, type Host } from './probe.ts'

/** Of the hundred flags of a processor, those that a program is ever built or skipped for. */
const features: ReadonlySet<string> = new Set(
  (
    'sse3 pni ssse3 sse4_1 sse4_2 popcnt avx avx2 fma f16c bmi1 bmi2 aes sha_ni vaes gfni rdrand rdseed rtm vmx svm sgx ' +
    'avx512f avx512bw avx512dq avx512vl avx512_vnni avx512_bf16 avx512_fp16 avx_vnni amx_tile amx_int8 amx_bf16 ' +
    'asimd neon fp asimdhp asimddp sve sve2 sme i8mm bf16 sha1 sha2 sha3 sha512 crc32 atomics paca'
  ).split(' '),
)

export async function findCpu(host: Host): Promise<Finding> {
  const info = (await textOf(host, '/proc/cpuinfo')) ?? ''
  const quota = cgroupCpus(`${host.root}/sys/fs/cgroup`, await textOf(host, '/proc/self/cgroup'))
  const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(info)?.[1]?.split(/\s+/)
  const model = field(info, 'model name') ?? field(info, 'Model') ?? os.cpus()[0]?.model
  const logical = info.match(/^processor\s*:/gm)?.length ?? os.cpus().length
  return {
    attributes: {
      'cpu.model': model?.trim(),
      'cpu.vendor': field(info, 'vendor_id'),
      'cpu.logical': logical,
      'cpu.physical': await physicalCores(host, info),
      'cpu.quota': quota,
      'cpu.features': flags?.filter((flag) => features.has(flag)).sort(),
      'numa.nodes': await numaNodes(host),
    },
    ...(info === '' && host.platform === 'linux' ? { unavailable: { cpu: '/proc/cpuinfo cannot be read' } } : {}),
  }
}

function field(info: string, name: string): string | undefined {
  return new RegExp(`^${name}\\s*:\\s*(.+)$`, 'm').exec(info)?.[1]
}

/** Threads of one core share its core_id within its package. */
async function physicalCores(host: Host, info: string): Promise<number | undefined> {
  const folder = '/sys/devices/system/cpu'
  const cores = new Set<string>()
  for (const name of await namesIn(host, folder)) {
    if (!/^cpu\d+$/.test(name)) continue
    const core = await textOf(host, `${folder}/${name}/topology/core_id`)
    if (core !== undefined) cores.add(`${await textOf(host, `${folder}/${name}/topology/physical_package_id`)}:${core}`)
  }
  if (cores.size > 0) return cores.size
  for (const part of info.split(/\n\n+/)) {
    const core = field(part, 'core id')
    if (core !== undefined) cores.add(`${field(part, 'physical id')}:${core}`)
  }
  return cores.size > 0 ? cores.size : undefined
}

async function numaNodes(host: Host): Promise<number | undefined> {
  const nodes = (await namesIn(host, '/sys/devices/system/node')).filter((name) => /^node\d+$/.test(name))
  return nodes.length > 0 ? nodes.length : undefined
}
