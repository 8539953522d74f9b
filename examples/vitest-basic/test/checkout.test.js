import { expect, it } from 'vitest'
import { Cart } from '../src/cart.js'
import { Inventory } from '../src/inventory.js'
import { formatMoney } from '../src/money.js'
import { runLimited } from '../src/queue.js'

it('sells a cart from stock', async () => {
  const inventory = new Inventory()
  inventory.receive('tea', 10)
  const cart = new Cart().add('tea', 450, 4)
  await runLimited(
    Array.from({ length: cart.count }, () => () => inventory.reserve('tea', 1)),
    2,
  )
  expect(inventory.available('tea')).toBe(6)
  expect(formatMoney(cart.total({ discountPercent: 10 }))).toBe('16.20')
})

it.skipIf(process.platform === 'win32')('reads the receipt printer', () => {
  expect(process.platform).not.toBe('win32')
})
