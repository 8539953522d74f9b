/**
 * Randomness from a seed, as a stream of numbers. Streams are forked by name, so that one fault more or
 * less doesn't shift what the rest draws: shrinking would be hopeless otherwise.
 */

/** 32 bits of a text (FNV-1a with a final mix). */
export function hashText(text: string, seed = 0): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return mix(hash)
}

function mix(value: number): number {
  let hash = value
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** sfc32, seeded by name. */
export class Random {
  readonly #seed: number
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number, name = '') {
    this.#seed = hashText(name, seed | 0) ^ mix(Math.floor(seed / 0x1_0000_0000))
    this.#a = mix(this.#seed)
    this.#b = mix(this.#a ^ 0x9e3779b9)
    this.#c = mix(this.#b ^ 0x243f6a88)
    for (let warm = 0; warm < 12; warm += 1) this.unit()
  }

  /** Another stream that this one doesn't influence, however much was drawn. */
  fork(name: string): Random {
    return new Random(this.#seed, name)
  }

  /** In [0, 1). */
  unit(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (this.#c << 21) | (this.#c >>> 11)
    this.#c = (this.#c + sum) | 0
    return (sum >>> 0) / 0x1_0000_0000
  }

  /** A whole number from `min` to `max`, both possible. */
  int(min: number, max: number): number {
    return min + Math.floor(this.unit() * (max - min + 1))
  }

  chance(probability: number): boolean {
    return this.unit() < probability
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.unit() * list.length)]!
  }

  /** A time: mostly near `min`, now and then much more, as queues make it. */
  delay(min: number, typical: number, max: number): number {
    const drawn = min - typical * Math.log(1 - this.unit())
    return drawn > max ? max : drawn
  }
}
