/**
 * The page that a browser is shown to find out what it can do. Each part computes something whose answer is
 * known: that a property exists says nothing. It posts what it found to where it came from.
 */
import { arrayOf, boolean, object, optional, record, string } from '../shape.ts'

/** What the page posts. An error's text where a part could not be done. */
export type SelfTest = {
  readonly simd: boolean
  readonly threads: boolean
  readonly webgl?: { readonly version: string; readonly renderer: string }
  readonly webgpu?: {
    readonly right: boolean
    /** Undefined where the browser does not say. */
    readonly fallback?: boolean | undefined
    readonly vendor: string
    readonly architecture: string
    readonly features: readonly string[]
  }
  /** Kinds of devices for which it computed the right answer. That they did it by themselves is not known. */
  readonly webnn: readonly string[]
  readonly errors: Readonly<Record<string, string>>
}

/** What comes from a browser, or from a file that may be damaged. */
export const isSelfTest = object({
  simd: boolean,
  threads: boolean,
  webgl: optional(object({ version: string, renderer: string })),
  webgpu: optional(
    object({
      right: boolean,
      fallback: optional(boolean),
      vendor: string,
      architecture: string,
      features: arrayOf(string),
    }),
  ),
  webnn: arrayOf(string),
  errors: record(string),
}) as (value: unknown) => value is SelfTest

const script = /* js */ `
const errors = {}
const within = (ms, work) => Promise.race([work(), new Promise((_, reject) => setTimeout(() => reject(new Error('no answer within ' + ms / 1000 + ' s')), ms))])
const part = async (name, otherwise, work) => {
  try { return await within(8000, work) } catch (error) { errors[name] = String(error && error.message || error).slice(0, 200); return otherwise }
}
// 20 + 22 in four lanes at once.
const simdModule = new Uint8Array([0,97,115,109,1,0,0,0, 1,5,1,96,0,1,127, 3,2,1,0, 7,5,1,1,102,0,0, 10,18,1,16,0,65,20,253,17,65,22,253,17,253,174,1,253,27,0,11])
// Adds 1 to shared memory, atomically.
const threadModule = new Uint8Array([0,97,115,109,1,0,0,0, 1,5,1,96,0,1,127, 2,9,1,1,101,1,109,2,3,1,1, 3,2,1,0, 7,5,1,1,102,0,0, 10,12,1,10,0,65,0,65,1,254,30,2,0,11])

async function simd() {
  const { instance } = await WebAssembly.instantiate(simdModule)
  return instance.exports.f() === 42
}
async function threads() {
  if (!crossOriginIsolated) throw new Error('the page is not cross-origin isolated')
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
  const source = 'onmessage = async ({ data }) => { const { instance } = await WebAssembly.instantiate(data.bytes, { e: { m: data.memory } }); for (let i = 0; i < 1000; i += 1) instance.exports.f(); postMessage(0) }'
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }))
  await Promise.all([0, 1].map(() => new Promise((resolve, reject) => {
    const worker = new Worker(url)
    worker.onmessage = resolve
    worker.onerror = (event) => reject(new Error(event.message || 'a worker failed'))
    worker.postMessage({ bytes: threadModule, memory })
  })))
  return Atomics.load(new Int32Array(memory.buffer), 0) === 2000
}
function webgl() {
  const page = document.createElement('canvas')
  page.width = page.height = 4
  const canvases = typeof OffscreenCanvas === 'function' ? [new OffscreenCanvas(4, 4), page] : [page]
  let gl = null
  for (const canvas of canvases) gl = gl || canvas.getContext('webgl2') || canvas.getContext('webgl')
  if (!gl) throw new Error('no context')
  gl.clearColor(1, 0.5, 0, 1)
  gl.clear(gl.COLOR_BUFFER_BIT)
  const pixel = new Uint8Array(4)
  gl.readPixels(1, 1, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel)
  if (pixel[0] !== 255 || Math.abs(pixel[1] - 128) > 1 || pixel[2] !== 0) throw new Error('drew ' + pixel.join(' ') + ' instead of 255 128 0 255')
  const names = gl.getExtension('WEBGL_debug_renderer_info')
  return { version: gl.getParameter(gl.VERSION), renderer: String(gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER)) }
}
async function webgpu() {
  if (!navigator.gpu) throw new Error('there is no navigator.gpu')
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (!adapter) throw new Error('no adapter')
  const info = adapter.info || {}
  const device = await adapter.requestDevice()
  const count = 256
  const code = '@group(0) @binding(0) var<storage, read_write> b: array<u32>; @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) g: vec3u) { b[g.x] = b[g.x] * b[g.x] + 7u; }'
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module: device.createShaderModule({ code }), entryPoint: 'main' } })
  const buffer = device.createBuffer({ size: count * 4, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC })
  const back = device.createBuffer({ size: count * 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST })
  device.queue.writeBuffer(buffer, 0, Uint32Array.from({ length: count }, (_, k) => k))
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer } }] })
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(pipeline); pass.setBindGroup(0, group); pass.dispatchWorkgroups(count / 64); pass.end()
  encoder.copyBufferToBuffer(buffer, 0, back, 0, count * 4)
  device.queue.submit([encoder.finish()])
  await back.mapAsync(GPUMapMode.READ)
  const right = new Uint32Array(back.getMappedRange()).every((value, k) => value === k * k + 7)
  device.destroy()
  return { right, fallback: info.isFallbackAdapter ?? adapter.isFallbackAdapter, vendor: info.vendor || '', architecture: info.architecture || '', features: [...adapter.features].filter((name) => ['shader-f16', 'subgroups', 'timestamp-query', 'texture-compression-bc'].includes(name)).sort() }
}
async function webnn(deviceType) {
  const context = await navigator.ml.createContext({ deviceType })
  const builder = new MLGraphBuilder(context)
  const shape = { dataType: 'float32', shape: [2, 2] }
  const a = builder.input('a', shape)
  const graph = await builder.build({ b: builder.matmul(a, a) })
  const input = await context.createTensor({ ...shape, writable: true })
  const output = await context.createTensor({ ...shape, readable: true })
  context.writeTensor(input, new Float32Array([1, 2, 3, 4]))
  context.dispatch(graph, { a: input }, { b: output })
  const answer = new Float32Array(await context.readTensor(output))
  if ([7, 10, 15, 22].some((value, k) => value !== answer[k])) throw new Error('computed ' + answer.join(' '))
  return true
}
async function run() {
  const found = { simd: await part('simd', false, simd), threads: await part('threads', false, threads), webgl: await part('webgl', undefined, webgl) }
  // The process that draws may be restarted under the first device of a fresh browser.
  found.webgpu = await part('webgpu', undefined, webgpu)
  if (!found.webgpu && errors.webgpu !== 'no adapter' && navigator.gpu) { delete errors.webgpu; found.webgpu = await part('webgpu', undefined, webgpu) }
  found.webnn = []
  if (!navigator.ml) errors.webnn = 'there is no navigator.ml'
  else for (const kind of ['cpu', 'gpu', 'npu']) if (await part('webnn.' + kind, false, () => webnn(kind))) found.webnn.push(kind)
  await fetch('answer', { method: 'POST', body: JSON.stringify({ ...found, errors }) })
}
run()
`

export const selfTestPage = `<!doctype html><meta charset="utf-8"><title>self-test</title><script>${script}</script>`
