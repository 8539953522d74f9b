import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, it } from 'node:test'
import { PlantedHost } from './fixtures/planted-host.ts'
import { measureSpeed, speedOf } from './speed.ts'

const reference = { unitMs: 18.5, memoryGigabytesPerSecond: 25, diskSyncMs: 4 }

describe('speedOf', () => {
  it('is 1 for the reference machine', () => {
    assert.deepEqual(speedOf(reference), { speed: 1, cpu: 1, memory: 1, disk: 1 })
  })

  it('follows the processor nearly in proportion', () => {
    const { speed, cpu } = speedOf({ ...reference, unitMs: reference.unitMs / 2 })
    assert.equal(cpu, 2)
    assert.ok(speed > 1.8 && speed < 2)
  })

  it('does not take a disk in memory for a faster machine', () => {
    assert.ok(speedOf({ ...reference, diskSyncMs: 0.0001 }).speed < 1.06)
    assert.ok(speedOf({ ...reference, diskSyncMs: 5000 }).speed > 0.94)
  })
})

describe('measureSpeed', () => {
  it('measures this machine, and leaves nothing in the directory', async () => {
    using host = new PlantedHost()
    const before = readdirSync(host.directory)
    const speed = await measureSpeed({ ...host.host(), env: process.env })
    for (const value of Object.values(speed)) assert.ok(value > 0 && value <= 20)
    assert.deepEqual(readdirSync(host.directory), before)
  })
})
