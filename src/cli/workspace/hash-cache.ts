/**
 * SHA-256 of files, remembered by what the file system says about them: a file whose size, times and
 * inode are as before is not read again. One small JSON file per workspace.
 */
import { createHash } from 'node:crypto'
import { createReadStream, type BigIntStats } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'

/** Changed so recently that another change could leave the same times: hashed again next time. */
const settledAfterMs = 100

export type Hashed = { readonly hash: string; readonly bytes: number }
type Remembered = Record<string, { readonly print: string; readonly hash: string; readonly bytes: number }>

export class HashCache {
  readonly #file: string
  readonly #before: Remembered
  readonly #after: Remembered = {}
  #changed = false

  private constructor(file: string, before: Remembered) {
    this.#file = file
    this.#before = before
  }

  static async open(directory: string, root: string): Promise<HashCache> {
    const name = createHash('sha256').update(root).digest('hex').slice(0, 24)
    const file = path.join(directory, `hashes-${name}.json`)
    const before = await readFile(file, 'utf8').then(
      (text) => JSON.parse(text) as Remembered,
      // The first time.
      () => ({}),
    )
    return new HashCache(file, before)
  }

  async hash(name: string, file: string, stats: BigIntStats): Promise<Hashed> {
    const print = `${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}:${stats.ino}`
    const known = Object.hasOwn(this.#before, name) ? this.#before[name] : undefined
    if (known?.print === print) {
      this.#after[name] = known
      return known
    }
    this.#changed = true
    const hashed = await sha256(file, Number(stats.size))
    if (Date.now() - Number(stats.mtimeMs) > settledAfterMs) this.#after[name] = { print, ...hashed }
    return hashed
  }

  async save(): Promise<void> {
    if (!this.#changed) return
    await mkdir(path.dirname(this.#file), { recursive: true, mode: 0o700 })
    await writeFile(`${this.#file}.${process.pid}`, JSON.stringify(this.#after), { mode: 0o600 })
    await rename(`${this.#file}.${process.pid}`, this.#file)
  }
}

const chunkBytes = 1024 * 1024

/** `size`: as it was looked up; what is read counts. */
async function sha256(file: string, size: number): Promise<Hashed> {
  const hash = createHash('sha256')
  // A stream makes a whole chunk's buffer for each file: of many small ones that was most of the time.
  if (size < chunkBytes) {
    const content = await readFile(file)
    return { hash: hash.update(content).digest('hex'), bytes: content.length }
  }
  let bytes = 0
  for await (const chunk of createReadStream(file, { highWaterMark: chunkBytes }) as AsyncIterable<Buffer>) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { hash: hash.digest('hex'), bytes }
}
