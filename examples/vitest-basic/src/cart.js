import { roundHalfEven } from './money.js'

export class Cart {
  #lines = new Map()

  add(name, unitCents, count = 1) {
    if (count < 1) throw new RangeError(`Cannot add ${count} of ${name}: expected at least 1`)
    const line = this.#lines.get(name)
    this.#lines.set(name, { unitCents, count: (line?.count ?? 0) + count })
    return this
  }

  remove(name) {
    return this.#lines.delete(name)
  }

  get count() {
    return [...this.#lines.values()].reduce((sum, line) => sum + line.count, 0)
  }

  total({ discountPercent = 0 } = {}) {
    const sum = [...this.#lines.values()].reduce((sum, line) => sum + line.unitCents * line.count, 0)
    return sum - roundHalfEven((sum * discountPercent) / 100)
  }
}
