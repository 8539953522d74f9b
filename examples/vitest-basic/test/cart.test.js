import { beforeEach, describe, expect, it } from 'vitest'
import { Cart } from '../src/cart.js'

describe('Cart', () => {
  let cart
  beforeEach(() => {
    cart = new Cart().add('tea', 450).add('cup', 1_205, 2)
  })

  it('adds up', () => {
    expect(cart.total()).toBe(2_860)
    expect(cart.count).toBe(3)
  })

  it('takes a discount, rounded half to even', () => {
    expect(cart.total({ discountPercent: 25 })).toBe(2_145)
    expect(new Cart().add('pin', 250).total({ discountPercent: 1 })).toBe(248)
  })

  it('removes a line', () => {
    expect(cart.remove('cup')).toBe(true)
    expect(cart.remove('cup')).toBe(false)
    expect(cart.total()).toBe(450)
  })

  it('refuses a count below one', () => {
    expect(() => cart.add('tea', 450, 0)).toThrow(RangeError)
  })
})
