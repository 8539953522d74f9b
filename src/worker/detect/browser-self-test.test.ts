/** With real browsers, which scripts/setup-tests.sh installs; and with programs that behave badly. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, it } from 'node:test'
import { programOnPath } from './ask.ts'
import { selfTestFinding } from './browser-finding.ts'
import { selfTest } from './browser-self-test.ts'
import type { Browser, Engine } from './browsers.ts'
import { PlantedHost } from './fixtures/planted-host.ts'
import type { SelfTest } from './self-test-page.ts'

const answer: SelfTest = { simd: true, threads: true, webnn: [], errors: {} }

function browser(file: string, engine: Engine = 'chromium'): Browser {
  return { name: engine, engine, version: '1', file, print: '' }
}

const real: readonly (readonly [Engine, readonly string[]])[] = [
  ['chromium', ['chromium', 'chromium-browser', 'google-chrome']],
  ['firefox', ['firefox', 'firefox-esr']],
]

describe('selfTest', () => {
  for (const [engine, names] of real) {
    it(`gets computed answers from a started ${engine}, and leaves nothing behind`, async () => {
      using host = new PlantedHost()
      const found = names.map((name) => programOnPath(name, process.env['PATH'])).find((file) => file !== undefined)
      assert.ok(found, `scripts/setup-tests.sh installs ${engine}`)
      const said = await selfTest({ ...host.host(), env: process.env }, browser(found, engine), 120_000)
      assert.equal(said.simd, true)
      assert.equal(said.threads, true, JSON.stringify(said.errors))
      assert.equal(said.webgpu?.right ?? true, true)
      const { attributes } = selfTestFinding(engine, said)
      assert.ok(['hardware', 'software', false].includes(attributes?.[`browser.${engine}.webgpu`] as string))
      assert.deepEqual(
        readdirSync(host.directory).filter((name) => name.startsWith('muster-browser-')),
        [],
      )
    })
  }

  // What a WebKit without a screen (WPE) is started with, and a page's answer; the engine itself is too large for every test run.
  it('shows its page to a WebKit in the same way', async () => {
    const posted = JSON.stringify({ simd: true, threads: false, webnn: [], errors: { threads: 'not isolated' } })
    const script = `for url; do :; done
test "$1" = --platform=headless || exit 7
echo "fetch(process.argv[1]).then(() => fetch(process.argv[1] + 'answer', { method: 'POST', body: process.argv[2] }))" > page.mjs
${process.execPath} -e "$(cat page.mjs)" "$url" '${posted}'
exec sleep 1000`
    using host = new PlantedHost().program('cog', script)
    const said = await selfTest(host.host(), browser(`${host.bin}/cog`, 'webkit'), 60_000)
    assert.deepEqual(selfTestFinding('webkit', said).unavailable, { 'browser.webkit.wasm.threads': 'not isolated' })
  })

  it('says why a WebKit that needs a screen was not asked', async () => {
    using host = new PlantedHost().program('MiniBrowser', 'exit 1')
    await assert.rejects(
      selfTest(host.host(), browser(`${host.bin}/MiniBrowser`, 'webkit'), 60_000),
      /^Error: WebKitGTK shows no page without a screen/,
    )
    assert.deepEqual(
      readdirSync(host.directory).filter((name) => name.startsWith('muster-browser-')),
      [],
    )
  })

  it('says how a browser ended that answered nothing', async () => {
    using host = new PlantedHost().program('chromium', 'exit 21')
    await assert.rejects(selfTest(host.host(), browser(`${host.bin}/chromium`), 20_000), {
      message: 'chromium ended with 21 before the self-test page had answered',
    })
  })

  it('ends a browser that answers nothing', async () => {
    using host = new PlantedHost().program('firefox', 'exec sleep 1000')
    await assert.rejects(selfTest(host.host(), browser(`${host.bin}/firefox`, 'firefox'), 300), {
      message: 'firefox did not answer the self-test page within 0.3 s',
    })
  })

  it('says that there is no such program', async () => {
    using host = new PlantedHost()
    await assert.rejects(
      selfTest(host.host(), browser(`${host.bin}/chromium`), 20_000),
      /^Error: chromium cannot be started/,
    )
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

  it('believes an adapter without a name only when the browser says that it is no fallback', () => {
    const nameless = { ...webgpu, vendor: '', architecture: '' }
    assert.equal(value({ ...answer, webgpu: nameless }), 'hardware')
    assert.equal(value({ ...answer, webgpu: { ...nameless, fallback: true } }), 'software')
    const { fallback: _, ...silent } = nameless
    assert.equal(value({ ...answer, webgpu: silent }), 'unknown')
  })

  for (const [renderer, kind] of [
    ['ANGLE (NVIDIA, NVIDIA GeForce RTX 3070 (0x00002484) Direct3D11 vs_5_0 ps_5_0, D3D11)', 'hardware'],
    ['ANGLE (Intel, Mesa Intel(R) UHD Graphics 620 (KBL GT2), OpenGL 4.6)', 'hardware'],
    ['ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device (Subzero) (0x0000C0DE)), SwiftShader driver)', 'software'],
    ['ANGLE (Mesa, llvmpipe (LLVM 15.0.6 256 bits), OpenGL 4.5)', 'software'],
    ['llvmpipe, or similar', 'software'],
    ['ANGLE (Microsoft, Microsoft Basic Render Driver (0x0000008C) Direct3D11 vs_5_0 ps_5_0, D3D11)', 'software'],
    ['softpipe', 'software'],
    ['Apple Software Renderer', 'software'],
    ['Apple GPU', 'unknown'],
    ['Generic Renderer', 'unknown'],
    ['', 'unknown'],
  ] as const) {
    it(`calls the renderer '${renderer}' ${kind}`, () => {
      const said = { ...answer, webgl: { version: 'WebGL 2.0', renderer } }
      assert.equal(selfTestFinding('firefox', said).attributes?.['browser.firefox.webgl'], kind)
    })
  }

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
