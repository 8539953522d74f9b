/** What people read about machines: at 80 columns, as it stands here. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WorkerView } from '../protocol/run-view.ts'
import { workersTable } from './commands/workers.ts'
import { gpuWords, machineLines } from './machine-text.ts'
import { table } from './table.ts'

const gibibyte = 2 ** 30
const a100 = {
  id: 'MIG-33333333-0000-5000-8000-000000000000',
  vendor: 'nvidia',
  name: 'NVIDIA A100 MIG 3g.20gb',
  memoryBytes: 20 * gibibyte,
  driver: '550.54.15',
  computeCapability: '8.0',
  partOf: 'GPU-11111111-aaaa-bbbb-cccc-000000000000',
} as const
const t4 = { id: '1', vendor: 'nvidia', name: 'NVIDIA T4', memoryBytes: 15 * gibibyte } as const

test('machineLines: everything, wrapped beside its name', () => {
  const text = machineLines(
    [
      ['worker', 'w-1 one'],
      ['does', ''],
    ],
    {
      os: 'linux',
      arch: 'x64',
      cpus: 6,
      memoryBytes: 16 * gibibyte,
      tools: { go: '1.26.3', node: '26.10.0' },
      gpus: [a100, t4],
      resources: { licences: 2 },
      attributes: {
        'browser.chromium': true,
        'browser.chromium.version': '156.0.8078.79',
        'browser.chromium.wasm.simd': true,
        'browser.chromium.wasm.threads': true,
        'browser.chromium.webgl': 'software',
        'browser.chromium.webgpu': 'software',
        'browser.chromium.webgpu.adapter': 'google swiftshader',
        'browser.chromium.webnn': false,
        'browser.firefox': true,
        'browser.firefox.version': '153.7.0esr',
        browsers: ['chromium', 'firefox'],
        container: 'docker',
        'cpu.features': ['avx2', 'avx512f', 'avx512vl', 'fma', 'popcnt', 'sha_ni', 'sse4_1', 'sse4_2', 'ssse3'],
        'cpu.logical': 8,
        'cpu.model': 'AMD EPYC 7543 32-Core Processor',
        'cpu.physical': 4,
        'disk.free': 100 * gibibyte,
        'disk.kind': 'nvme',
        'disk.total': 250 * gibibyte,
        'os.name': 'Debian GNU/Linux 12 (bookworm)',
        'speed.cpu': 1.3,
        'speed.disk': 0.9,
        vm: 'unknown',
      },
      unavailable: {
        docker: 'docker ended with 1: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.',
      },
      fingerprint: 'fca616698856301cdf4a4916a58d560c',
      speed: 1.25,
    },
    80,
  )
  assert.equal(
    text,
    `worker             w-1 one
machine            fca616698856301cdf4a4916a58d560c
speed              1.25 × the reference machine, cpu 1.3, disk 0.9
system             Debian GNU/Linux 12 (bookworm), x64
within             a container (docker) on a virtual machine
CPUs               6 for tests, AMD EPYC 7543 32-Core Processor, 4 cores, 8
                   threads
memory             16 GiB for tests
disk               100 GiB free of 250 GiB, nvme
GPU MIG-33333333…  NVIDIA A100 MIG 3g.20gb, 20 GiB, driver 550.54.15, compute
                   capability 8.0, part of
                   GPU-11111111-aaaa-bbbb-cccc-000000000000
GPU 1              NVIDIA T4, 15 GiB
resources          licences 2
tools              go 1.26.3, node 26.10.0

BROWSERS (as attributes: browser.chromium.webgpu)
          version        wasm.simd  wasm.threads  webgl     webgpu    webnn
chromium  156.0.8078.79  yes        yes           software  software  no
firefox   153.7.0esr

ATTRIBUTES
browser.chromium.webgpu.adapter  google swiftshader
container                        docker
cpu.features                     avx2, avx512f, avx512vl, fma, popcnt, sha_ni,
                                 sse4_1, sse4_2, ssse3
cpu.logical                      8
cpu.model                        AMD EPYC 7543 32-Core Processor
cpu.physical                     4
disk.free                        100 GiB
disk.kind                        nvme
disk.total                       250 GiB
os.name                          Debian GNU/Linux 12 (bookworm)
speed.cpu                        1.3
speed.disk                       0.9
vm                               unknown

NOT AVAILABLE
docker  docker ended with 1: Cannot connect to the Docker daemon at
        unix:///var/run/docker.sock.
`,
  )
})

test('machineLines: a machine of which nothing is known', () => {
  const machine = { os: 'linux', arch: 'arm64', cpus: 1, memoryBytes: gibibyte, tools: {} }
  assert.equal(machineLines([], machine, 80), 'system  linux, arm64\nCPUs    1 for tests\nmemory  1 GiB for tests\n')
})

test('machineLines: browsers stand among the attributes where their table would be too wide; cards alike share a line', () => {
  const machine = {
    os: 'linux',
    arch: 'x64',
    cpus: 1,
    memoryBytes: gibibyte,
    tools: {},
    gpus: [t4, { ...t4, id: '2' }],
    attributes: { browsers: ['chromium'], 'browser.chromium': true, 'browser.chromium.webgl': 'software' },
  }
  assert.equal(
    machineLines([], machine, 40),
    `system   linux, x64
CPUs     1 for tests
memory   1 GiB for tests
GPU 1 2  2 × NVIDIA T4, 15 GiB

ATTRIBUTES
browsers                chromium
browser.chromium        true
browser.chromium.webgl  software
`,
  )
})

test('gpuWords: cards of one kind are counted', () => {
  assert.equal(gpuWords([t4, { ...t4, id: '2' }, a100]), '2 × T4 + A100 MIG 3g.20gb')
  assert.equal(gpuWords([]), '')
})

const h100 = { id: '0', vendor: 'nvidia', name: 'NVIDIA H100 80GB HBM3', memoryBytes: 80 * gibibyte } as const

const worker: WorkerView = {
  worker: 'w-4d0b4c18d0bd',
  name: 'one',
  host: 'h',
  os: 'linux',
  arch: 'x64',
  cpus: 8,
  cpusFree: 6,
  memoryBytes: 23.54 * gibibyte,
  labels: { 'muster.pid': '1' },
  tools: {},
  version: '1',
  state: 'busy',
  batches: [],
  lastHeardMs: 0,
}

test('workersTable: columns in which nobody has anything are left out', () => {
  assert.equal(
    workersTable([worker, { ...worker, name: 'two', speed: 1.5, fingerprint: 'fca616698856301cdf4a4916a58d560c' }]),
    `WORKER          NAME  STATE  CPUS  FREE  MEMORY  SPEED  MACHINE
w-4d0b4c18d0bd  one   busy      8     6  24 GiB
w-4d0b4c18d0bd  two   busy      8     6  24 GiB  1.50   fca6166
`,
  )
})

test('workersTable: what is too wide does without what matters least; there is room for names of cards where there is room', () => {
  const one = { ...worker, gpus: [h100, t4], speed: 1.5, fingerprint: 'fca61669', labels: { zone: 'eu-west' } }
  assert.equal(
    workersTable([one], 80),
    `WORKER          NAME  STATE  CPUS  FREE  MEMORY  GPUS            LABELS
w-4d0b4c18d0bd  one   busy      8     6  24 GiB  H100 80GB HBM…  zone=eu-west
`,
  )
  assert.equal(
    workersTable([one], 120),
    `WORKER          NAME  STATE  CPUS  FREE  MEMORY  GPUS                 SPEED  MACHINE  LABELS
w-4d0b4c18d0bd  one   busy      8     6  24 GiB  H100 80GB HBM3 + T4  1.50   fca6166  zone=eu-west
`,
  )
})

test('workersTable: cards and work', () => {
  assert.equal(
    workersTable([{ ...worker, gpus: Array.from({ length: 8 }, () => h100), speed: 1.5, fingerprint: 'fca61669' }]),
    `WORKER          NAME  STATE  CPUS  FREE  MEMORY  GPUS            SPEED  MACHINE
w-4d0b4c18d0bd  one   busy      8     6  24 GiB  8 × H100 80GB…  1.50   fca6166
`,
  )
  const batches = [{ batch: 'b1', run: 'r1', tasks: 3, cpus: 2 }]
  assert.equal(
    workersTable([{ ...worker, gpus: [t4, t4], batches }]),
    `WORKER          NAME  STATE  CPUS  FREE  MEMORY  GPUS    DOES
w-4d0b4c18d0bd  one   busy      8     6  24 GiB  2 × T4  r1 (3 files)
`,
  )
})

test('what a tool or a worker calls itself does nothing to a terminal', () => {
  const gpus = [{ ...t4, name: 'NVIDIA \u001b[31mT4\u001b[0m\u0007' }]
  const machine = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: gibibyte, tools: {}, gpus }
  const text = machineLines([['labels', 'a=b\nc']], { ...machine, unavailable: { gpu: 'it printed \u001b[2J' } }, 80)
  assert.match(text, /^labels +a=b c$/m)
  assert.match(text, /NVIDIA T4 ?, 15 GiB/)
  assert.match(text, /^gpu +it printed/m)
  assert.doesNotMatch(text.replaceAll('\n', ''), /\p{Cc}/u)
  assert.doesNotMatch(table(['A'], [['\u001b]0;x\u0007y']]), /[^\P{Cc}\n]/u)
})
