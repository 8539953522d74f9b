/**
 * What every log that several coordinators share must do beyond conformance.ts, as tests. Handles on
 * one medium stand for processes; the medium can lose a handle's answers or cut it off, so that the
 * unknown outcomes are real ones.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isMusterError } from '../protocol/errors.ts'
import type { Leadership, MemberCard, SharedLog } from './log.ts'

export type SharedLogMedium = {
  /** One more handle, of a process of its own. */
  open(): Promise<SharedLog>
  /** From now on the handle's requests are carried out, and their answers lost. */
  loseAnswers(log: SharedLog): void
  /** From now on nothing that the handle asks arrives. */
  cutOff(log: SharedLog): void
  heal(log: SharedLog): void
  remove(): Promise<void>
}

const text = (value: string) => new TextEncoder().encode(value)
const string = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const unknown = (error: unknown) => isMusterError(error) && error.code === 'log_failed'

const card = (member: string): MemberCard => ({
  member,
  name: `coordinator ${member}`,
  address: 'http://127.0.0.1:1',
  version: '0.0.0',
  build: 'test',
  format: 2,
  draining: false,
  startedAtMs: 1,
})

async function fill(log: SharedLog, epoch: number, from: number, to: number): Promise<void> {
  for (let position = from; position <= to; position += 1) {
    const append = () => log.append(epoch, position, text(`entry ${position}`))
    // The suite gives little time, as it also waits for answers that never come; on a busy machine others may be late.
    assert.deepEqual(await repeated(append), { type: 'ok' })
  }
}

async function positions(log: SharedLog, from = 1): Promise<number[]> {
  const result = await log.read(from, 100_000_000)
  return result.type === 'entries' ? result.entries.map((one) => one.position) : []
}

const patienceMs = 30_000

/** Resolves once the condition holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + patienceMs
  while (!(await condition())) {
    assert.ok(performance.now() < end, `not within ${patienceMs} ms: ${condition.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** As a leader does after an unknown outcome, until it is known: a link that is back may have to be found again. */
export async function repeated<T>(request: () => Promise<T>): Promise<T> {
  const end = performance.now() + patienceMs
  for (;;) {
    try {
      return await request()
    } catch (error) {
      if (!unknown(error) || performance.now() > end) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Follows a log as a coordinator does: the tail is a hint, what is missing is read. */
export class Follower {
  readonly entries: string[] = []
  readonly claims: Leadership[] = []
  /** Above 0 after a jump over what was trimmed. */
  skipped = 0
  resumed = 0
  readonly #log: SharedLog
  readonly #stop: () => void
  #reading: Promise<void> | undefined
  #again = false

  constructor(log: SharedLog) {
    this.#log = log
    this.#stop = log.tail(1, {
      entries: (entries) => {
        for (const entry of entries) {
          if (entry.position === this.next) this.entries.push(string(entry.bytes))
          else if (entry.position > this.next) this.#catchUp()
        }
      },
      claimed: (leadership) => void this.claims.push(leadership),
      resumed: () => {
        this.resumed += 1
        this.#catchUp()
      },
    })
  }

  get next(): number {
    return this.skipped + this.entries.length + 1
  }

  async stop(): Promise<void> {
    this.#stop()
    await this.#reading
  }

  #catchUp(): void {
    this.#again = true
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
      if (this.#again) this.#catchUp()
    })
  }

  async #read(): Promise<void> {
    while (this.#again) {
      this.#again = false
      const result = await this.#log.read(this.next, 1_000_000).catch((error: unknown) => {
        // Cut off: `resumed` will come.
        if (!unknown(error)) throw error
        return undefined
      })
      if (result?.type === 'trimmed') {
        const snapshot = await this.#log.getSnapshot()
        this.skipped = snapshot!.position - this.entries.length
        this.#again = true
      } else if (result !== undefined) {
        for (const entry of result.entries) {
          if (entry.position !== this.next) continue
          this.entries.push(string(entry.bytes))
          this.#again = true
        }
      }
    }
  }
}

export function testSharedLog(name: string, createMedium: () => Promise<SharedLogMedium>): void {
  const withLogs = (
    criterion: string,
    body: (a: SharedLog, b: SharedLog, medium: SharedLogMedium) => Promise<void>,
  ): void =>
    void test(criterion, async () => {
      const medium = await createMedium()
      try {
        await using a = await medium.open()
        await using b = await medium.open()
        await body(a, b, medium)
      } finally {
        await medium.remove()
      }
    })

  describe(`${name} is a shared log`, () => {
    withLogs('nobody leads a new log; whoever claims does, for all', async (a, b) => {
      assert.deepEqual(await a.leadership(), { epoch: 0, owner: '' })
      const head = await repeated(() => a.claimFrom(0, 'a'))
      assert.equal(head?.position, 0)
      assert.deepEqual(await b.leadership(), { epoch: head.epoch, owner: 'a' })
      const next = await repeated(() => b.claim('b'))
      assert.deepEqual(await a.leadership(), { epoch: next.epoch, owner: 'b' })
    })

    withLogs('of several that claim from the same epoch exactly one gets it', async (a, b, medium) => {
      await using c = await medium.open()
      for (let round = 1; round <= 10; round += 1) {
        const { epoch } = await a.leadership()
        const heads = await Promise.all(
          [a, b, c].map((log, i) => repeated(() => log.claimFrom(epoch, `${round}.${i}`))),
        )
        const winners = heads.flatMap((head, i) =>
          head === undefined ? [] : [{ epoch: head.epoch, owner: `${round}.${i}` }],
        )
        assert.equal(winners.length, 1)
        assert.ok(winners[0]!.epoch > epoch)
        assert.deepEqual(await c.leadership(), winners[0])
      }
    })

    withLogs('a claim from an epoch that is over is refused, and changes nothing', async (a, b) => {
      const first = await repeated(() => a.claim('a'))
      const second = await repeated(() => b.claim('b'))
      assert.equal(await repeated(() => a.claimFrom(first.epoch, 'a')), undefined)
      assert.deepEqual(await a.leadership(), { epoch: second.epoch, owner: 'b' })
      await fill(b, second.epoch, 1, 1)
    })

    withLogs(
      'an own claim whose answer was lost is recognised, until somebody else has claimed',
      async (a, b, medium) => {
        const { epoch } = await repeated(() => b.claim('b'))
        await fill(b, epoch, 1, 3)
        medium.loseAnswers(a)
        await assert.rejects(a.claimFrom(epoch, 'a'), unknown)
        await until(async () => (await b.leadership()).owner === 'a')
        medium.heal(a)
        const claimed = await repeated(() => a.claimFrom(epoch, 'a'))
        assert.deepEqual(claimed, { position: 3, epoch: (await b.leadership()).epoch, firstPosition: 1 })
        await fill(a, claimed.epoch, 4, 5)
        assert.notEqual(await repeated(() => b.claimFrom(claimed.epoch, 'b')), undefined)
        assert.equal(await repeated(() => a.claimFrom(epoch, 'a')), undefined)
      },
    )

    withLogs('an append whose answer was lost is in the log once after it is repeated', async (a, b, medium) => {
      const { epoch } = await repeated(() => a.claim('a'))
      await fill(a, epoch, 1, 2)
      medium.loseAnswers(a)
      await assert.rejects(a.append(epoch, 3, text('entry 3')), unknown)
      await until(async () => (await b.head()).position === 3)
      medium.heal(a)
      assert.deepEqual(await repeated(() => a.append(epoch, 3, text('entry 3'))), { type: 'ok' })
      await fill(a, epoch, 4, 6)
      assert.deepEqual(await positions(b), [1, 2, 3, 4, 5, 6])
    })

    withLogs('a deposed writer learns what became of its unknown append', async (a, b, medium) => {
      const old = await repeated(() => a.claim('a'))
      await fill(a, old.epoch, 1, 2)
      medium.loseAnswers(a)
      await assert.rejects(a.append(old.epoch, 3, text('entry 3')), unknown)
      await until(async () => (await b.head()).position === 3)
      const now = await repeated(() => b.claimFrom(old.epoch, 'b'))
      assert.equal(now?.position, 3)
      medium.heal(a)
      assert.deepEqual(await repeated(() => a.append(old.epoch, 3, text('entry 3'))), { type: 'ok' })
      assert.deepEqual(await repeated(() => a.append(old.epoch, 4, text('entry 4'))), {
        type: 'fenced',
        epoch: now.epoch,
      })
      await fill(b, now.epoch, 4, 4)
    })

    withLogs('an append that never arrived is written when it is repeated', async (a, b, medium) => {
      const { epoch } = await repeated(() => a.claim('a'))
      await fill(a, epoch, 1, 1)
      medium.cutOff(a)
      await assert.rejects(a.append(epoch, 2, text('entry 2')), unknown)
      assert.equal((await b.head()).position, 1)
      medium.heal(a)
      await repeated(() => fill(a, epoch, 2, 3))
      assert.deepEqual(await positions(b), [1, 2, 3])
    })

    withLogs('a large append whose answer was lost is whole after it is repeated', async (a, b, medium) => {
      const { epoch } = await repeated(() => a.claim('a'))
      const large = new Uint8Array(2_500_000).map((_, i) => i % 249)
      medium.loseAnswers(a)
      await assert.rejects(a.append(epoch, 1, large), unknown)
      medium.heal(a)
      assert.deepEqual(await repeated(() => a.append(epoch, 1, large)), { type: 'ok' })
      const result = await b.read(1, 1)
      assert.ok(result.type === 'entries' && Buffer.from(result.entries[0]!.bytes).equals(large))
    })

    withLogs('leaders follow one another on different handles, and the log goes on', async (a, b) => {
      let position = 0
      for (let term = 0; term < 6; term += 1) {
        const log = term % 2 === 0 ? a : b
        const head = await repeated(() => log.claim(`term ${term}`))
        assert.equal(head.position, position)
        await fill(log, head.epoch, position + 1, position + 3)
        position += 3
      }
      assert.equal((await positions(a)).length, position)
    })

    withLogs('a follower gets every entry and every claim', async (a, b) => {
      const first = await repeated(() => a.claim('a'))
      await fill(a, first.epoch, 1, 20)
      const follower = new Follower(b)
      await fill(a, first.epoch, 21, 60)
      const second = await repeated(() => a.claim('again'))
      await fill(a, second.epoch, 61, 100)
      await until(() => follower.entries.length === 100 && follower.claims.at(-1)?.epoch === second.epoch)
      assert.deepEqual(
        follower.entries,
        Array.from({ length: 100 }, (_, i) => `entry ${i + 1}`),
      )
      assert.deepEqual(follower.claims.at(-1), { epoch: second.epoch, owner: 'again' })
      await follower.stop()
      await fill(a, second.epoch, 101, 102)
      assert.equal(follower.entries.length, 100)
    })

    withLogs('a follower that was cut off misses nothing', async (a, b, medium) => {
      const { epoch } = await repeated(() => a.claim('a'))
      const follower = new Follower(b)
      let position = 0
      for (let cut = 0; cut < 3; cut += 1) {
        await fill(a, epoch, position + 1, position + 20)
        medium.cutOff(b)
        await fill(a, epoch, position + 21, position + 40)
        medium.heal(b)
        await fill(a, epoch, position + 41, position + 50)
        position += 50
        await until(() => follower.entries.length === position)
      }
      assert.deepEqual(
        follower.entries,
        Array.from({ length: 150 }, (_, i) => `entry ${i + 1}`),
      )
      assert.ok(follower.resumed >= 1)
      await follower.stop()
    })

    withLogs('a follower that was cut off during a trim goes on from the snapshot', async (a, b, medium) => {
      const { epoch } = await repeated(() => a.claim('a'))
      const follower = new Follower(b)
      await fill(a, epoch, 1, 10)
      await until(() => follower.entries.length === 10)
      medium.cutOff(b)
      await fill(a, epoch, 11, 50)
      await repeated(() => a.putSnapshot(epoch, { position: 40, bytes: text('state 40') }))
      await repeated(() => a.trim(41))
      medium.heal(b)
      await fill(a, epoch, 51, 55)
      await until(() => follower.next === 56)
      assert.equal(follower.skipped, 30)
      assert.deepEqual(
        follower.entries.slice(10),
        Array.from({ length: 15 }, (_, i) => `entry ${i + 41}`),
      )
      await follower.stop()
    })

    withLogs('a follower gets entries of any size', async (a, b) => {
      const { epoch } = await repeated(() => a.claim('a'))
      const follower = new Follower(b)
      const sizes = [0, 1, 900_000, 2_500_000, 10]
      for (const [index, size] of sizes.entries()) {
        assert.deepEqual(await repeated(() => a.append(epoch, index + 1, new Uint8Array(size).fill(97))), {
          type: 'ok',
        })
      }
      await until(() => follower.entries.length === sizes.length)
      assert.deepEqual(
        follower.entries.map((one) => one.length),
        sizes,
      )
      await follower.stop()
    })

    withLogs('members see each other; a card can be replaced, and goes with its process', async (a, b, medium) => {
      const c = await medium.open()
      await Promise.all([a.announce(card('a')), b.announce(card('b')), c.announce(card('c'))])
      const names = async (log: SharedLog) => (await log.members()).map((one) => one.member).sort()
      // A card whose process had no processor for longer than it lasts is there again in a moment.
      await until(async () => (await names(a)).join() === 'a,b,c')
      await b.announce({ ...card('b'), draining: true })
      await until(async () => (await a.members()).find((one) => one.member === 'b')?.draining === true)
      await c[Symbol.asyncDispose]()
      await until(async () => (await names(b)).join() === 'a,b')
      medium.cutOff(b)
      await until(async () => (await names(a)).length === 1)
      medium.heal(b)
      await until(async () => (await names(a)).length === 2)
    })

    withLogs('a record is what the first has made, for all and for good', async (a, b, medium) => {
      const values = await Promise.all(
        Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? a : b).record('token', () => `value ${i}`)),
      )
      assert.equal(new Set(values).size, 1)
      medium.loseAnswers(a)
      await assert.rejects(
        a.record('secret', () => 'from a'),
        unknown,
      )
      medium.heal(a)
      const secret = await b.record('secret', () => 'from b')
      assert.equal(await a.record('secret', () => 'again'), secret)
      assert.equal(await b.record('token', () => 'other'), values[0])
    })

    withLogs('two that trim at once leave the higher bound, and readers see whole logs', async (a, b) => {
      const { epoch } = await repeated(() => a.claim('a'))
      await repeated(() => fill(a, epoch, 1, 240))
      await repeated(() => a.putSnapshot(epoch, { position: 240, bytes: text('state') }))
      const trimming = Promise.all([a.trim(140), b.trim(201), a.trim(180), b.trim(130)])
      const appending = repeated(() => fill(a, epoch, 241, 270))
      for (let round = 0; round < 20; round += 1) {
        const result = await b.read(120, 20_000)
        if (result.type === 'trimmed') assert.ok(result.firstPosition > 120)
        else
          assert.deepEqual(
            result.entries.map((one) => one.position),
            result.entries.map((_, i) => 120 + i),
          )
      }
      await Promise.all([trimming, appending])
      assert.deepEqual(await b.head(), { position: 270, epoch, firstPosition: 201 })
      assert.deepEqual(
        await positions(a, 201),
        Array.from({ length: 70 }, (_, i) => i + 201),
      )
    })

    withLogs('fill is what is live against the budget, and falls when it is trimmed', async (a, b) => {
      const { epoch } = await repeated(() => a.claim('a'))
      for (let position = 1; position <= 10; position += 1)
        await repeated(() => a.append(epoch, position, new Uint8Array(100_000)))
      const full = a.fill
      assert.ok(full > 0)
      await b.head()
      assert.equal(b.fill, full)
      await repeated(() => a.putSnapshot(epoch, { position: 10, bytes: text('state') }))
      await repeated(() => a.trim(6))
      assert.ok(Math.abs(a.fill - full / 2) < full / 100)
      await repeated(() => a.trim(11))
      assert.equal(a.fill, 0)
    })

    withLogs('the engine is well, and says so', async (a) => {
      const status = await a.engine()
      assert.deepEqual(status.problems, [])
      assert.ok(status.members.every((member) => member.healthy))
      assert.equal(status.members.filter((member) => member.leader).length, 1)
    })
  })
}
