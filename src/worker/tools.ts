/**
 * Which tools are on PATH, and their versions. Versions cost a process each (chromium a second of
 * work), so they are remembered by the executable's path, size and time; at the first start the
 * worker doesn't wait for slow ones: they are `unknown` until the next hello.
 */
import { execFile } from 'node:child_process'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { WorkerLog } from './thread-messages.ts'

const toolNames: Readonly<Record<string, readonly string[]>> = {
  node: ['node'],
  python3: ['python3'],
  go: ['go'],
  git: ['git'],
  chromium: ['chromium', 'chromium-browser', 'google-chrome'],
}
const versionTimeoutMs = 2000

type Remembered = Record<string, { readonly print: string; readonly version: string }>

export class Tools {
  readonly #file: string
  readonly #log: WorkerLog
  readonly versions: Record<string, string> = {}
  #remembered: Remembered = {}

  constructor(dataDir: string, log: WorkerLog) {
    this.#file = path.join(dataDir, 'tools.json')
    this.#log = log
  }

  /** Resolves after waitMs at the latest; what isn't known by then fills in later. */
  async detect(waitMs: number): Promise<void> {
    const all = this.#detectAll().catch((error: Error) => this.#log('debug', `Cannot look for tools: ${error.message}`))
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, waitMs)
    await Promise.race([all, promise])
    clearTimeout(timer)
  }

  async #detectAll(): Promise<void> {
    this.#remembered = await this.#load()
    const before = JSON.stringify(this.#remembered)
    await Promise.all(Object.entries(toolNames).map(([tool, names]) => this.#detectOne(tool, names)))
    if (JSON.stringify(this.#remembered) !== before) await this.#save()
  }

  async #detectOne(tool: string, names: readonly string[]): Promise<void> {
    const found = await findOnPath(names)
    if (found === undefined) return
    this.versions[tool] = 'unknown'
    const known = this.#remembered[found.file]
    if (known?.print === found.print) {
      this.versions[tool] = known.version
      return
    }
    const version = await askVersion(found.file, tool === 'go' ? ['version'] : ['--version'])
    if (version === undefined) return
    this.versions[tool] = version
    this.#remembered[found.file] = { print: found.print, version }
  }

  async #load(): Promise<Remembered> {
    try {
      return JSON.parse(await readFile(this.#file, 'utf8')) as Remembered
    } catch {
      // Not there yet, or damaged: it is only a cache.
      return {}
    }
  }

  async #save(): Promise<void> {
    await writeFile(`${this.#file}.${process.pid}`, JSON.stringify(this.#remembered))
    await rename(`${this.#file}.${process.pid}`, this.#file)
  }
}

async function findOnPath(names: readonly string[]): Promise<{ file: string; print: string } | undefined> {
  for (const name of names) {
    for (const folder of (process.env['PATH'] ?? '').split(path.delimiter)) {
      if (folder === '') continue
      try {
        const file = path.join(folder, name)
        const { size, mtimeMs, mode } = await stat(file)
        // Not resolved to its real path: version managers put shims here that look at their own name.
        if ((mode & 0o111) !== 0) return { file, print: `${size}:${mtimeMs}` }
      } catch {
        // Not in this folder.
      }
    }
  }
  return undefined
}

function askVersion(file: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(file, args, { timeout: versionTimeoutMs, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      resolve(error ? undefined : /\d+(\.\d+)+[\w.-]*/.exec(stdout || stderr)?.[0])
    })
  })
}
