import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MemberCard } from '../log/log.ts'
import { GoneMembers } from './gone-members.ts'

function card(member: string, port: number): MemberCard {
  const address = `http://127.0.0.1:${port}`
  return { member, name: member, address, version: '0', build: '0', format: 1, draining: false, startedAtMs: 0 }
}

test('GoneMembers remembers who left for an hour, until it or another at its address is there', () => {
  const gone = new GoneMembers()
  const names = () => gone.list.map(({ card: one, sinceMs }) => `${one.member} ${sinceMs}`)
  gone.seen([card('a', 1), card('b', 2), card('c', 3)], 1000)
  assert.deepEqual(names(), [])
  gone.seen([card('a', 1)], 2000)
  gone.seen([card('a', 1)], 3000)
  assert.deepEqual(names(), ['b 2000', 'c 2000'])
  gone.seen([card('a', 1), card('b', 2)], 4000)
  assert.deepEqual(names(), ['c 2000'])
  gone.seen([card('a', 1), card('b', 2), card('d', 3)], 5000)
  assert.deepEqual(names(), [])
  gone.seen([card('a', 1)], 6000)
  gone.seen([card('a', 1)], 6000 + 3_600_000)
  assert.deepEqual(names(), [])
})
