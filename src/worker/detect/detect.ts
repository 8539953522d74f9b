/**
 * What this machine has, found out by the worker itself. Every probe is bounded, and one that fails says why under
 * `unavailable`. A worker's start waits for the quick ones only, and for those not longer than `startWaitMs`; what comes
 * later is told by `onUpdate`.
 *
 * Quick: what is read from files, and cards. Then the versions of tools and browsers. Slow: the browsers' self-tests and the benchmark,
 * which are remembered, and wait until nothing runs here that they could disturb.
 */
import os from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { WorkerLog } from '../thread-messages.ts'
import { findAndroidDevices } from './adb.ts'
import { Announcer } from './announcer.ts'
import { BrowserTests } from './browser-tests.ts'
import { findCpu } from './cpu.ts'
import { findDisk } from './disk.ts'
import { findDocker } from './docker.ts'
import { findFingerprint } from './fingerprint.ts'
import { findGpus } from './gpus.ts'
import { findMemory } from './memory.ts'
import { findNpus } from './npu.ts'
import { findElsewhere } from './other-systems.ts'
import type { Detected } from './detected.ts'
import { Findings } from './findings.ts'
import type { Finding, Host } from './probe.ts'
import { Remembered } from './remembered.ts'
import { benchmarkVersion, isSpeed, measureSpeed, speedFinding, type Speed } from './speed.ts'
import { findSystem } from './system.ts'
import { findTools, noTools, type FoundTools } from './tools.ts'

/** none: nothing is asked. quick: no browser is started and nothing is measured, but what is remembered counts. */
export type DetectLevel = 'none' | 'quick' | 'all'

export type DetectOptions = {
  readonly level: DetectLevel
  /** The worker's: what is remembered lies here, and workspaces. */
  readonly dataDir: string
  readonly log: WorkerLog
  /** More is known than the last time. */
  readonly onUpdate?: (detected: Detected) => void
  /** Resolves when the machine may be used for a browser's self-test and the benchmark; default: at once. */
  readonly idle?: () => Promise<void>
  /** Default 2 s. */
  readonly startWaitMs?: number
  /** What can be looked at beside tests is looked at again so often; default: 2 min. */
  readonly watchMs?: number
  /** What is only looked at while nothing runs; default: 10 min. */
  readonly againMs?: number
  /** Default 15 s: nvidia-smi wakes sleeping cards up one after the other. */
  readonly askMs?: number
  /** Where a browser keeps what it writes while it is asked; default: the system's. */
  readonly tempDir?: string
  /** Tests: what stands for `/`, and the environment. */
  readonly root?: string
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly home?: string
}

const startWaitMs = 2000
/** Versions of tools: most runs ask for none. */
const toolsWaitMs = 300
const askMs = 15_000
const watchMs = 2 * 60_000
const againMs = 10 * 60_000

export class Detection implements AsyncDisposable {
  /** What is known when a worker's start has waited long enough. */
  readonly first: Promise<Detected>
  /** When there is nothing left to find out. Never rejects. */
  readonly complete: Promise<Detected>
  readonly #options: DetectOptions
  readonly #host: Host
  readonly #remembered: Remembered
  readonly #abort = new AbortController()
  readonly #findings = new Findings(() => this.#announcer.changed())
  #tools: FoundTools = noTools()
  #fingerprint: string | undefined
  #speed: Speed | undefined
  readonly #browsers: BrowserTests
  readonly #announcer: Announcer
  #keptCurrent: Promise<void> = Promise.resolve()

  constructor(options: DetectOptions) {
    this.#options = options
    this.#announcer = new Announcer(() => this.detected, options.onUpdate)
    this.#remembered = new Remembered(options.dataDir, options.log)
    this.#host = {
      root: options.root ?? '',
      env: options.env ?? process.env,
      home: options.home ?? ownHome(),
      directory: options.dataDir,
      tempDir: options.tempDir ?? os.tmpdir(),
      platform: process.platform,
      askMs: options.askMs ?? askMs,
      signal: this.#abort.signal,
    }
    this.#browsers = new BrowserTests(this.#host, this.#remembered, this.#findings)
    const loaded = options.level === 'none' ? undefined : this.#remembered.load()
    const quick = loaded?.then(() => this.#quick())
    const tools = loaded?.then(() => this.#findTools(this.#tools))
    const browsers = tools?.then(() => this.#findBrowsers(quick!))
    const rest = quick?.then(() => this.#slow(browsers!))
    this.first = this.#first(quick, browsers)
    this.complete = this.#complete([quick, browsers, rest])
    if (quick !== undefined) this.#keptCurrent = this.#keepCurrent(Promise.all([this.first, quick]))
  }

  get detected(): Detected {
    const { attributes, unavailable, gpus } = this.#findings
    return {
      tools: sorted(this.#tools.versions),
      gpus,
      attributes: sorted(attributes),
      unavailable: sorted({ ...unavailable, ...this.#tools.unavailable }),
      fingerprint: this.#fingerprint,
      speed: this.#speed?.speed,
    }
  }

  /** Whatever it has started ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#announcer.close()
    this.#abort.abort()
    await this.complete
    await this.#keptCurrent
  }

  async #first(quick: Promise<void> | undefined, programs: Promise<void> | undefined): Promise<Detected> {
    const waitMs = this.#options.startWaitMs ?? startWaitMs
    await Promise.all([atMost(quick, waitMs), atMost(programs, Math.min(toolsWaitMs, waitMs))])
    return this.#announcer.begin()
  }

  async #complete(parts: readonly (Promise<void> | undefined)[]): Promise<Detected> {
    await Promise.all([this.first, ...parts])
    await this.#remembered.saved()
    this.#announcer.flush()
    return this.detected
  }

  // Looking.

  async #quick(): Promise<void> {
    const host = this.#host
    await Promise.all([
      this.#look(),
      this.#findings.probe('os', () => findSystem(host)),
      this.#findings.probe('fingerprint', () => this.#identify()),
    ])
    this.#recallSpeed()
  }

  /** What may become another while the worker runs, and costs next to nothing to look at. */
  async #look(): Promise<void> {
    const host = this.#host
    await Promise.all([
      this.#findings.probe('cpu', () => findCpu(host)),
      this.#findings.probe('memory', () => findMemory(host, this.#findings.attributes['memory.total'])),
      this.#findings.probe('disk', () => findDisk(host, this.#findings.attributes['disk.free'])),
      this.#findings.probe('npu', () => findNpus(host)),
      this.#findings.probe('gpu', () => this.#findCards()),
    ])
  }

  /** A busy machine may keep a tool waiting once; a driver that hangs does it again. */
  async #findCards(): Promise<Finding> {
    const before = this.#findings.gpus.length
    const early = before > 0 ? undefined : (finding: Finding) => this.#findings.found('gpu', finding)
    const found = await findGpus(this.#host, early)
    const mayBeBusy = /did not answer within/.test(Object.values(found.unavailable ?? {}).join())
    return mayBeBusy && before > 0 ? findGpus(this.#host) : found
  }

  async #identify(): Promise<Finding> {
    if (this.#host.platform !== 'linux') return {}
    const { fingerprint, ...finding } = await findFingerprint(this.#host)
    this.#fingerprint = fingerprint
    return finding
  }

  async #findTools(tools: FoundTools): Promise<void> {
    const host = this.#host
    const atOnce = this.#options.level === 'all' ? 2 : 1
    await findTools(host, this.#remembered, tools, atOnce, () => this.#announcer.changed())
  }

  /** What they answer depends on the cards: what is remembered of them counts once `cards` are known. */
  async #findBrowsers(cards: Promise<void>): Promise<void> {
    await this.#browsers.find()
    await cards
    this.#browsers.recall()
  }

  async #findServices(): Promise<void> {
    const { docker, adb } = this.#tools.files
    await Promise.all([
      docker === undefined ? undefined : this.#findings.probe('docker', () => findDocker(this.#host)),
      adb === undefined ? undefined : this.#findings.probe('adb', () => findAndroidDevices(this.#host)),
    ])
  }

  #recallSpeed(): void {
    const remembered = this.#remembered.get('speed', this.#speedPrint())
    if (isSpeed(remembered)) this.#tellSpeed(remembered)
    else this.#findings.found('speed', { unavailable: { speed: 'not measured yet' } })
  }

  async #slow(browsers: Promise<void>): Promise<void> {
    if (this.#host.platform !== 'linux') {
      await this.#findings.probe('system', async () => {
        const { fingerprint, ...finding } = await findElsewhere(this.#host)
        this.#fingerprint ??= fingerprint
        return finding
      })
    }
    await browsers
    await this.#findServices()
    await this.#browsers.test(() => this.#mayDisturb())
    await this.#measure()
  }

  /** Drivers fail, disks fill, daemons start, devices are plugged in, browsers are updated. */
  async #keepCurrent(begun: Promise<unknown>): Promise<void> {
    const { watchMs: watch = watchMs, againMs: again = againMs, level } = this.#options
    await Promise.all([
      // What waits for a quiet moment may wait for ever.
      begun.then(() => this.#every(watch, () => this.#watch())),
      level === 'all' ? this.complete.then(() => this.#every(again, () => this.#lookAgain())) : undefined,
    ])
  }

  async #every(everyMs: number, look: () => Promise<void>): Promise<void> {
    const { signal } = this.#abort
    const isOver = (): boolean => signal.aborted
    while (!isOver()) {
      await sleep(everyMs, undefined, { signal, ref: false }).catch(isOver)
      if (isOver()) return
      await look()
      this.#announcer.flush()
    }
  }

  /** Also while tests run: on a busy worker they always do, and a card that fell off must not be given to the next one. */
  async #watch(): Promise<void> {
    const before = this.#findings.gpus
    await this.#look()
    const there = new Set(this.#findings.gpus.map(({ id, uuid = id }) => uuid))
    const lost = before.filter(({ id, uuid = id }) => !there.has(uuid)).map(({ id, name }) => `${id} (${name})`)
    if (lost.length > 0 && !this.#abort.signal.aborted) {
      const why = this.detected.unavailable['gpu']
      this.#options.log('warning', `No longer there: GPU ${lost.join(', ')}${why === undefined ? '' : `; ${why}`}`)
    }
  }

  async #lookAgain(): Promise<void> {
    if (!(await this.#mayDisturb())) return
    // Those that were found before count until it is done.
    const found = noTools()
    await this.#findTools(found)
    this.#tools = found
    await this.#findBrowsers(Promise.resolve())
    await this.#findServices()
    await this.#browsers.test(() => this.#mayDisturb())
  }

  async #measure(): Promise<void> {
    if (this.#speed !== undefined || !(await this.#mayDisturb())) return
    await this.#findings.probe('speed', async () => {
      const speed = await measureSpeed(this.#host)
      this.#remembered.set('speed', this.#speedPrint(), speed)
      this.#speed = speed
      return speedFinding(speed)
    })
  }

  /** Waits for a quiet moment; false when there will be none. */
  async #mayDisturb(): Promise<boolean> {
    if (this.#options.level !== 'all') return false
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    const { signal } = this.#abort
    if (signal.aborted) return false
    const onAbort = (): void => resolve()
    signal.addEventListener('abort', onAbort, { once: true })
    await Promise.race([this.#options.idle?.() ?? Promise.resolve(), ended])
    signal.removeEventListener('abort', onAbort)
    return !signal.aborted
  }

  #speedPrint(): string {
    return JSON.stringify([benchmarkVersion, process.version, this.#fingerprint ?? os.hostname()])
  }

  #tellSpeed(speed: Speed): void {
    this.#speed = speed
    this.#findings.found('speed', speedFinding(speed))
  }
}

function ownHome(): string {
  try {
    return os.homedir()
  } catch {
    // Of a user that the system does not know, as in some containers.
    return '/'
  }
}

function sorted<T>(values: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)))
}

async function atMost(work: Promise<void> | undefined, waitMs: number): Promise<void> {
  if (work === undefined) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, waitMs)
  await Promise.race([work, promise])
  clearTimeout(timer)
}
