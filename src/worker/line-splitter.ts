/** Bytes in, lines out; a character cut in two by a chunk's border stays whole, an endless line stays bounded. */
export class LineSplitter {
  readonly #onLine: (line: string) => void
  readonly #lineBytesMax: number
  #pending: Buffer[] = []
  #pendingBytes = 0
  #skipping = false
  /** Lines that were longer than the limit and were dropped. */
  dropped = 0

  constructor(onLine: (line: string) => void, lineBytesMax = 64 * 1024 * 1024) {
    this.#onLine = onLine
    this.#lineBytesMax = lineBytesMax
  }

  push(chunk: Buffer): void {
    const last = chunk.lastIndexOf(10)
    if (last === -1) return this.#keep(chunk)
    let from = 0
    if (this.#skipping) {
      from = chunk.indexOf(10) + 1
      this.#skipping = false
    }
    if (from <= last) {
      this.#pending.push(chunk.subarray(from, last))
      const text = (this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending)).toString('utf8')
      this.#pending = []
      this.#pendingBytes = 0
      for (const line of text.split('\n')) this.#onLine(line.endsWith('\r') ? line.slice(0, -1) : line)
    }
    if (last + 1 < chunk.length) this.#keep(chunk.subarray(last + 1))
  }

  /** The stream is over; what follows the last line end is a line too. */
  end(): void {
    if (this.#pendingBytes > 0) this.push(Buffer.from('\n'))
  }

  #keep(chunk: Buffer): void {
    if (this.#skipping) return
    this.#pending.push(chunk)
    this.#pendingBytes += chunk.length
    if (this.#pendingBytes <= this.#lineBytesMax) return
    this.#pending = []
    this.#pendingBytes = 0
    this.#skipping = true
    this.dropped += 1
  }
}
