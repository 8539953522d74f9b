/** What a browser's self-test says of it, as attributes `browser.<name>.…`, and why it can't do what it can't. */
import type { Finding } from './probe.ts'
import type { SelfTest } from './self-test-page.ts'

/** What it can't do is false, so that an expression may ask for it by its name alone. */
export function selfTestFinding(browser: string, answer: SelfTest): Finding {
  const { simd, threads, webgl, webgpu, webnn, errors } = answer
  const prefix = `browser.${browser}`
  const unavailable: Record<string, string> = {}
  for (const [part, why] of Object.entries(errors)) {
    const isWasm = part === 'simd' || part === 'threads'
    // Where no kind of device works, one reason is enough.
    const name = isWasm ? `wasm.${part}` : webnn.length === 0 ? part.replace(/^webnn\..*/, 'webnn') : part
    unavailable[`${prefix}.${name}`] ??= why
  }
  if (webgpu !== undefined && !webgpu.right) unavailable[`${prefix}.webgpu`] = 'it computed a wrong answer'
  const works = webgpu?.right === true
  return {
    attributes: {
      [`${prefix}.wasm.simd`]: simd,
      [`${prefix}.wasm.threads`]: threads,
      [`${prefix}.webgl`]: webgl === undefined ? false : rendererKind(webgl.renderer),
      [`${prefix}.webgl.renderer`]: webgl?.renderer || undefined,
      [`${prefix}.webgpu`]: works ? adapterKind(webgpu) : false,
      [`${prefix}.webgpu.adapter`]: works ? `${webgpu.vendor} ${webgpu.architecture}`.trim() || 'unnamed' : undefined,
      [`${prefix}.webgpu.features`]: works ? [...webgpu.features] : undefined,
      [`${prefix}.webnn`]: webnn.length > 0,
      [`${prefix}.webnn.devices`]: webnn.length > 0 ? [...webnn] : undefined,
    },
    unavailable,
  }
}

type Kind = 'hardware' | 'software' | 'unknown'

function rendererKind(renderer: string): Kind {
  if (isSoftware(renderer)) return 'software'
  // What browsers say so that nobody recognizes their user. WebKit says it of a processor, too.
  return /^(apple gpu|webkit webgl|mozilla|generic renderer|webgl|)$/i.test(renderer.trim()) ? 'unknown' : 'hardware'
}

function adapterKind({ fallback, vendor, architecture }: NonNullable<SelfTest['webgpu']>): Kind {
  const name = `${vendor} ${architecture}`.trim()
  if (fallback === true || isSoftware(name)) return 'software'
  // A nameless one is believed only when the browser said that it is no fallback.
  return fallback === undefined && name === '' ? 'unknown' : 'hardware'
}

function isSoftware(renderer: string): boolean {
  return /swiftshader|llvmpipe|lavapipe|softpipe|swrast|software|basic render|offscreen|\bwarp\b|\bllvm\b|\bcpu\b/i.test(
    renderer,
  )
}
