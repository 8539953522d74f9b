/**
 * Where a report's text goes. Reports are written piece by piece, one test file at a time, so that a
 * run of 100 000 tests never exists as one string; a sink that returns a promise slows the writer
 * down to what the disk or pipe takes.
 */
export type TextSink = (text: string) => void | Promise<void>

/** Joins small pieces into larger writes. `flush` must be called at the end. */
export function chunked(sink: TextSink, charsMin = 64 * 1024): { write: TextSink; flush(): Promise<void> } {
  let pieces: string[] = []
  let length = 0
  const flush = async (): Promise<void> => {
    if (length === 0) return
    const text = pieces.join('')
    pieces = []
    length = 0
    await sink(text)
  }
  return {
    flush,
    write(text) {
      pieces.push(text)
      length += text.length
      return length >= charsMin ? flush() : undefined
    },
  }
}
