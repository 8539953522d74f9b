/** Stock that can be reserved before it is bought; a reservation ends by buying or releasing. */
export class Inventory {
  #stock = new Map()
  #reservations = new Map()
  #next = 1

  receive(name, count) {
    this.#stock.set(name, this.available(name) + count)
  }

  available(name) {
    return this.#stock.get(name) ?? 0
  }

  async reserve(name, count) {
    if (this.available(name) < count) throw new Error(`Only ${this.available(name)} of ${name} left`)
    this.#stock.set(name, this.available(name) - count)
    const id = this.#next++
    this.#reservations.set(id, { name, count })
    return id
  }

  async release(id) {
    const reservation = this.#reservations.get(id)
    if (!reservation) return false
    this.#reservations.delete(id)
    this.receive(reservation.name, reservation.count)
    return true
  }
}
