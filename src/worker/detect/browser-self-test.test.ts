/** With a real Chromium, which scripts/setup-tests.sh installs. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, it } from 'node:test'
import { selfTest, selfTestFinding } from './browser-self-test.ts'
import { PlantedHost } from './fixtures/planted-host.ts'
import type { SelfTest } from './self-test-page.ts'
import { programOnPath } from './ask.ts'

const answer: SelfTest = { simd: true, threads: true, webnn: [], errors: {} }

describe('selfTest', () => {
  it('gets computed answers from a started Chromium, and leaves nothing behind', async () => {
    using host = new PlantedHost()
    const names = ['chromium', 'chromium-browser', 'google-chrome']
    const found = names.map((name) => programOnPath(name, process.env['PATH'])).find((file) => file !== undefined)
    assert.ok(found, 'scripts/setup-tests.sh installs a Chromium')
    const said = await selfTest({ ...host.host(), env: process.env }, found, 90_000)
    assert.equal(said.simd, true)
    assert.equal(said.threads, true, JSON.stringify(said.errors))
    assert.equal(said.webgpu?.right ?? true, true)
    const { attributes } = selfTestFinding('chromium', said)
    assert.ok(['hardware', 'software', false].includes(attributes?.['browser.chromium.webgpu'] as string))
    assert.deepEqual(
      readdirSync(host.directory).filter((name) => name.startsWith('muster-browser-')),
      [],
    )
  })

  it('says how a browser ended that answered nothing', async () => {
    using host = new PlantedHost().program('chromium', 'exit 21')
    await assert.rejects(selfTest(host.host(), `${host.bin}/chromium`, 20_000), {
      message: 'chromium ended with 21 before the self-test page had answered',
    })
  })

  it('ends a browser that answers nothing', async () => {
    using host = new PlantedHost().program('chromium', 'exec sleep 1000')
    await assert.rejects(selfTest(host.host(), `${host.bin}/chromium`, 300), {
      message: 'chromium did not answer the self-test page within 0.3 s',
    })
  })

  it('says that there is no such program', async () => {
    using host = new PlantedHost()
    await assert.rejects(selfTest(host.host(), `${host.bin}/chromium`, 20_000), /^Error: chromium cannot be started/)
  })
})

describe('selfTestFinding', () => {
  const webgpu = { right: true, fallback: false, vendor: 'nvidia', architecture: 'ampere', features: ['shader-f16'] }
  const value = (said: SelfTest): unknown => selfTestFinding('chromium', said).attributes?.['browser.chromium.webgpu']

  it('calls an adapter hardware only when nothing says otherwise', () => {
    assert.equal(value({ ...answer, webgpu }), 'hardware')
    assert.equal(value({ ...answer, webgpu: { ...webgpu, fallback: true } }), 'software')
    assert.equal(value({ ...answer, webgpu: { ...webgpu, vendor: 'google', architecture: 'swiftshader' } }), 'software')
    assert.equal(value({ ...answer, webgpu: { ...webgpu, vendor: 'mesa', architecture: 'llvmpipe' } }), 'software')
    assert.equal(value(answer), false)
  })

  it('calls a wrong answer no WebGPU, and says so', () => {
    const said = { ...answer, webgpu: { ...webgpu, right: false } }
    assert.equal(value(said), false)
    const { unavailable } = selfTestFinding('chromium', said)
    assert.deepEqual(unavailable, { 'browser.chromium.webgpu': 'it computed a wrong answer' })
  })

  it('says once why no kind of device does WebNN', () => {
    const errors = { 'webnn.cpu': 'not supported', 'webnn.gpu': 'not supported', simd: 'no' }
    const { unavailable } = selfTestFinding('chromium', { ...answer, simd: false, errors })
    assert.deepEqual(unavailable, { 'browser.chromium.webnn': 'not supported', 'browser.chromium.wasm.simd': 'no' })
  })
})
