import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { cgroupCpus } from './capabilities.ts'
import { temporaryFolder } from './test-worker.ts'

function cgroups(root: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true })
    writeFileSync(path.join(root, name), text)
  }
}

describe('cgroupCpus', () => {
  it('is the smallest quota from the own group (v2) up to the root', () => {
    using folder = temporaryFolder()
    cgroups(folder.path, {
      'a/cpu.max': '150000 100000\n',
      'a/b/cpu.max': 'max 100000\n',
      'a/b/c/cpu.max': '400000 100000\n',
    })
    assert.equal(cgroupCpus(folder.path, '0::/a/b/c\n'), 1.5)
  })

  it('knows groups with colons in their names', () => {
    using folder = temporaryFolder()
    const group = 'kubepods.slice:cri-containerd:0123'
    cgroups(folder.path, { [`${group}/cpu.max`]: '300000 100000\n' })
    assert.equal(cgroupCpus(folder.path, `0::/${group}\n`), 3)
  })

  it('is the quota of version 1, wherever the controller is mounted', () => {
    using folder = temporaryFolder()
    cgroups(folder.path, {
      'cpu,cpuacct/x/cpu.cfs_quota_us': '200000\n',
      'cpu,cpuacct/x/cpu.cfs_period_us': '100000\n',
    })
    assert.equal(cgroupCpus(folder.path, '4:cpu,cpuacct:/x\n3:memory:/x\n'), 2)
  })

  it('is undefined without a quota', () => {
    using folder = temporaryFolder()
    cgroups(folder.path, { 'cpu/cpu.cfs_quota_us': '-1\n', 'cpu/cpu.cfs_period_us': '100000\n' })
    assert.equal(cgroupCpus(folder.path, '1:cpu:/\n0::/\n'), undefined)
  })
})
