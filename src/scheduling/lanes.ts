/**
 * What the lanes of one worker have to do: with several CPUs it runs so many files at a time, and its batch is over when
 * the last of them is. Few long files must not be added up as if they were one after the other, nor poured out over all
 * CPUs: no file leaves a lane without work for as long as the others have some, since a worker gets its next batch when
 * this one is over; and none goes where it would be late, while another worker has a lane for it.
 *
 * Files that are long for a lane go where there is least, as the framework will put them. Of shorter ones only the sum
 * counts, so that large batches cost nothing here.
 */

/** A file that is less than this part of what a lane may have leaves no lane much behind the others. */
const shortPart = 1 / 4

export class Lanes {
  /** What each may have; by so much may one be late, as another process would cost others a start-up. */
  readonly #targetMs: number
  readonly #lateMs: number
  /** Of long files. */
  readonly #works: number[]
  #least = 0
  #hasShort = false

  constructor(room: { readonly lanes: number; readonly targetMs: number; readonly startMs: number }) {
    const { lanes, targetMs, startMs } = room
    this.#targetMs = targetMs / lanes
    this.#lateMs = startMs / lanes
    this.#works = Array.from({ length: lanes }, () => 0)
  }

  /** The longest that fits: `leftMs` is what all may still have, `heldMs` what all hold back. A lane without work takes any. */
  gapMs(leftMs: number, heldMs: number): number {
    const least = this.#works[this.#least]!
    if (least === 0 && !this.#hasShort) return Infinity
    return Math.min(leftMs, this.#targetMs + this.#lateMs - heldMs / this.#works.length - least)
  }

  add(workMs: number): void {
    if (workMs < this.#targetMs * shortPart) {
      this.#hasShort = true
      return
    }
    const works = this.#works
    works[this.#least]! += workMs
    for (let lane = 0; lane < works.length; lane += 1) if (works[lane]! < works[this.#least]!) this.#least = lane
  }
}
