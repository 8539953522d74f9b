import { describe, expect, it } from 'vitest'
import { Inventory } from '../src/inventory.js'

describe('Inventory', () => {
  it('gives a released reservation back', async () => {
    const inventory = new Inventory()
    inventory.receive('tea', 3)
    const id = await inventory.reserve('tea', 2)
    expect(inventory.available('tea')).toBe(1)
    expect(await inventory.release(id)).toBe(true)
    expect(await inventory.release(id)).toBe(false)
    expect(inventory.available('tea')).toBe(3)
  })

  it('never sells more than there is', async () => {
    const inventory = new Inventory()
    inventory.receive('tea', 5)
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => inventory.reserve('tea', 1)))
    expect(tries.filter((one) => one.status === 'fulfilled')).toHaveLength(5)
    expect(inventory.available('tea')).toBe(0)
  })

  it.todo('keeps reservations over a restart')
})
