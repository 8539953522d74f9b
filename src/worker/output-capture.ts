/**
 * What a batch's processes print: kept up to a limit (the beginning and the end, which are what
 * people look at), streamed to whoever watches in chunks at a bounded rate. Bytes are copied into
 * blocks, so that a million tiny writes cost no more memory than one large one.
 */
const blockBytes = 64 * 1024
/** 1 MB of the beginning, 3 MB of the end. */
const headBlocks = 16
const tailBlocks = 48
const liveEveryMs = 100
/** Per chunk, so at most ten times this per second. */
const liveBytesMax = 64 * 1024

export class OutputCapture {
  readonly #onLive: (text: string) => void
  /** All full but the last. */
  readonly #blocks: Buffer[] = []
  #used = blockBytes
  #leftOutBytes = 0
  readonly #live = Buffer.allocUnsafeSlow(liveBytesMax)
  #liveBytes = 0
  #liveSkippedBytes = 0
  #timer: NodeJS.Timeout | undefined

  constructor(onLive: (text: string) => void) {
    this.#onLive = onLive
  }

  write(chunk: Buffer | string): void {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    if (bytes.length === 0) return
    this.#keep(bytes)
    if (this.#liveSkippedBytes === 0 && this.#liveBytes + bytes.length <= liveBytesMax) {
      this.#liveBytes += bytes.copy(this.#live, this.#liveBytes)
    } else {
      this.#liveSkippedBytes += bytes.length
    }
    this.#timer ??= setTimeout(() => this.flush(), liveEveryMs)
  }

  /** Sends what waits to whoever watches. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#liveBytes === 0 && this.#liveSkippedBytes === 0) return
    const skipped = this.#liveSkippedBytes > 0 ? `\n… ${this.#liveSkippedBytes} bytes not shown live …\n` : ''
    const text = this.#live.toString('utf8', 0, this.#liveBytes)
    this.#liveBytes = 0
    this.#liveSkippedBytes = 0
    this.#onLive(text + skipped)
  }

  /** Everything, or its beginning and end around a line that says how much is missing. */
  text(): string {
    const blocks = this.#filled()
    if (this.#leftOutBytes === 0) return Buffer.concat(blocks).toString('utf8')
    const head = Buffer.concat(blocks.slice(0, headBlocks))
    const tail = Buffer.concat(blocks.slice(headBlocks))
    const headEnd = wholeCharactersEnd(head)
    let tailFrom = 0
    while (tailFrom < tail.length && isContinuation(tail[tailFrom]!)) tailFrom += 1
    const leftOut = this.#leftOutBytes + head.length - headEnd + tailFrom
    return `${head.toString('utf8', 0, headEnd)}\n… ${leftOut} bytes of output left out …\n${tail.toString('utf8', tailFrom)}`
  }

  lastLines(count: number): string {
    return lastLines(Buffer.concat(this.#filled().slice(-2)), count)
  }

  #filled(): Buffer[] {
    return this.#blocks.map((block, index) =>
      index === this.#blocks.length - 1 ? block.subarray(0, this.#used) : block,
    )
  }

  #keep(bytes: Buffer): void {
    let from = 0
    while (from < bytes.length) {
      if (this.#used === blockBytes) this.#addBlock()
      const copied = bytes.copy(this.#blocks.at(-1)!, this.#used, from)
      this.#used += copied
      from += copied
    }
  }

  #addBlock(): void {
    this.#used = 0
    if (this.#blocks.length < headBlocks + tailBlocks) {
      this.#blocks.push(Buffer.allocUnsafeSlow(blockBytes))
      return
    }
    this.#leftOutBytes += blockBytes
    this.#blocks.push(...this.#blocks.splice(headBlocks, 1))
  }
}

// oxlint-disable-next-line no-control-regex
const ansi = /\u001b\[[0-9;?]*[A-Za-z]/g

/** The last lines of some bytes for a message: without ANSI codes and blank edges, at most 16 KB. */
export function lastLines(bytes: Buffer, count: number): string {
  const text = bytes.subarray(-16 * 1024).toString('utf8')
  return text.replaceAll(ansi, '').trimEnd().split('\n').slice(-count).join('\n').trim()
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80
}

/** Where the last character that is whole ends. */
function wholeCharactersEnd(bytes: Buffer): number {
  let lead = bytes.length - 1
  while (lead >= 0 && bytes.length - lead < 4 && isContinuation(bytes[lead]!)) lead -= 1
  if (lead < 0) return bytes.length
  const first = bytes[lead]!
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1
  return lead + length <= bytes.length ? bytes.length : lead
}
