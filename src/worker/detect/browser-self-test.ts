/**
 * Asks a started headless Chromium what it can do: it is shown a page of ours from a port of this host, and the page posts
 * what it computed. So nothing depends on flags, versions or a debugging protocol. It needs a real origin with two headers,
 * since memory is shared between threads in isolated pages only.
 *
 * A software adapter for WebGPU is allowed and told apart: `hardware` is said only of an adapter that the browser does not call a
 * fallback and that is not known to be drawn by the processor.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { endLeftovers } from '../process-tree.ts'
import { lowerPriority } from './ask.ts'
import type { Finding, Host } from './probe.ts'
import { isSelfTest, selfTestPage, type SelfTest } from './self-test-page.ts'

const answerBytesMax = 64 * 1024

/** Only our own page is loaded, so there is nothing to keep out; in containers and for root it would not start otherwise. */
const flags = [
  '--headless',
  '--no-sandbox',
  '--no-first-run',
  '--no-default-browser-check',
  '--no-proxy-server',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-breakpad',
  '--disable-crash-reporter',
  '--disable-extensions',
  '--disable-quic',
  '--disable-dev-shm-usage',
  // Without it there is no adapter on Linux, with a card or without.
  '--enable-unsafe-webgpu',
  '--enable-unsafe-swiftshader',
  '--enable-features=WebMachineLearningNeuralNetwork',
]

/** Rejects when it can't be started, or does not answer in time. */
export async function selfTest(host: Host, program: string, timeoutMs: number): Promise<SelfTest> {
  const profile = await mkdtemp(path.join(host.tempDir, 'muster-browser-'))
  const answered = Promise.withResolvers<SelfTest>()
  const secret = randomBytes(16).toString('hex')
  const server = await serve(secret, answered.resolve, answered.reject)
  const name = path.basename(program)
  const mark = `MUSTER_PROBE=${secret}`
  const { port } = server.address() as AddressInfo
  const child = spawn(program, [...flags, `--user-data-dir=${profile}`, `http://127.0.0.1:${port}/${secret}/`], {
    cwd: profile,
    detached: true,
    stdio: 'ignore',
    env: { ...host.env, MUSTER_PROBE: secret },
  })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()).once('error', () => resolve()))
  child.once('error', (error) => answered.reject(new Error(`${name} cannot be started: ${error.message}`)))
  child.once('exit', (code, signal) =>
    answered.reject(new Error(`${name} ended with ${code ?? signal} before the self-test page had answered`)),
  )
  if (child.pid !== undefined) lowerPriority(child.pid)
  const timer = setTimeout(
    () => answered.reject(new Error(`${name} did not answer the self-test page within ${timeoutMs / 1000} s`)),
    timeoutMs,
  )
  const onAbort = (): void => answered.reject(new Error(`${name} was not waited for: the worker ends`))
  host.signal.addEventListener('abort', onAbort, { once: true })
  if (host.signal.aborted) onAbort()
  try {
    return await answered.promise
  } finally {
    clearTimeout(timer)
    host.signal.removeEventListener('abort', onAbort)
    if (child.pid !== undefined) await endLeftovers(child.pid, mark)
    await gone
    server.closeAllConnections()
    server.close()
    // What it was writing when it was ended may appear a moment later.
    await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
}

function serve(
  secret: string,
  resolve: (answer: SelfTest) => void,
  reject: (error: Error) => void,
): Promise<http.Server> {
  const server = http.createServer((request, response) => {
    if (request.method === 'GET' && request.url === `/${secret}/`) {
      response.writeHead(200, {
        'content-type': 'text/html',
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-embedder-policy': 'require-corp',
      })
      return void response.end(selfTestPage)
    }
    if (request.method !== 'POST' || request.url !== `/${secret}/answer`) return void response.writeHead(404).end()
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text
      if (body.length > answerBytesMax) request.destroy()
    })
    request.on('end', () => {
      response.writeHead(204).end()
      const answer = parse(body)
      if (isSelfTest(answer)) resolve(answer)
      else reject(new Error(`the self-test page answered '${body.slice(0, 80)}'`))
    })
  })
  return new Promise((started, failed) => {
    server.once('error', failed).listen(0, '127.0.0.1', () => started(server))
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Not JSON: the caller says what it was instead.
    return undefined
  }
}

/** As attributes `browser.<name>.…`. What it can't do is false, so that an expression may ask for it by its name alone. */
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
      [`${prefix}.webgl`]: webgl === undefined ? false : isSoftware(webgl.renderer) ? 'software' : 'hardware',
      [`${prefix}.webgl.renderer`]: webgl?.renderer,
      [`${prefix}.webgpu`]: !works ? false : isSoftwareAdapter(webgpu) ? 'software' : 'hardware',
      [`${prefix}.webgpu.adapter`]: works ? `${webgpu.vendor} ${webgpu.architecture}`.trim() || 'unnamed' : undefined,
      [`${prefix}.webgpu.features`]: works ? [...webgpu.features] : undefined,
      [`${prefix}.webnn`]: webnn.length > 0,
      [`${prefix}.webnn.devices`]: webnn.length > 0 ? [...webnn] : undefined,
    },
    unavailable,
  }
}

function isSoftwareAdapter(adapter: NonNullable<SelfTest['webgpu']>): boolean {
  return adapter.fallback || isSoftware(`${adapter.vendor} ${adapter.architecture}`)
}

function isSoftware(renderer: string): boolean {
  return /swiftshader|llvmpipe|lavapipe|softpipe|software|basic render|swrast/i.test(renderer)
}
