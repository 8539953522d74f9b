/**
 * Shows this coordinator's card to the others under a lease, for as long as the process lives. The
 * lease only says who is there: leading is decided by the leader key alone. A lease that was lost (a
 * long pause, etcd away) is replaced by a new one at the next beat.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { MemberCard } from '../log.ts'
import type { Access } from './access.ts'
import { CallError, code } from './call-error.ts'
import type { Lane } from './client.ts'
import { below } from './layout.ts'
import { leaseGrant, leaseKeepAlive, leaseRevoke, txn } from './messages.ts'

const callMs = 1000
const revokeMs = 500

export class EtcdMembership {
  readonly #access: Access
  readonly #lane: Lane
  readonly #lifetimeSeconds: number
  readonly #stopping = new AbortController()
  #card: MemberCard | undefined
  #lease: bigint | undefined
  #beating: Promise<void> | undefined

  constructor(access: Access, lane: Lane, lifetimeSeconds: number) {
    this.#access = access
    this.#lane = lane
    this.#lifetimeSeconds = lifetimeSeconds
  }

  async announce(card: MemberCard): Promise<void> {
    this.#card = card
    const end = performance.now() + this.#access.patience.totalMs
    for (;;) {
      try {
        await this.#show()
        break
      } catch (error) {
        if (!(error instanceof CallError) || error.outcome === 'refused' || performance.now() > end) throw error
      }
    }
    this.#beating ??= this.#beat()
  }

  async members(): Promise<MemberCard[]> {
    const { reads, keys, patience } = this.#access
    const { responses } = await reads.repeat(txn, { success: [below(keys.memberPrefix)] }, patience)
    return responses[0]!.map(({ value }) => JSON.parse(value.toString('utf8')) as MemberCard)
  }

  /** Takes the card away at once; if etcd can't be reached, it goes when the lease runs out. */
  async close(): Promise<void> {
    this.#stopping.abort()
    await this.#beating
    if (this.#lease === undefined) return
    try {
      await this.#lane.call(leaseRevoke, this.#lease, revokeMs)
    } catch (error) {
      if (!(error instanceof CallError)) throw error
    }
  }

  async #show(): Promise<void> {
    const card = this.#card!
    this.#lease ??= await this.#lane.call(leaseGrant, this.#lifetimeSeconds, callMs)
    const { keys } = this.#access
    const put = {
      type: 'put',
      key: keys.member(card.member),
      value: Buffer.from(JSON.stringify(card)),
      lease: this.#lease,
    } as const
    try {
      await this.#lane.call(txn, { success: [put] }, callMs)
    } catch (error) {
      // Expired, perhaps: the next try asks for a new one.
      if (error instanceof CallError && error.code === code.notFound) this.#lease = undefined
      throw error
    }
  }

  async #beat(): Promise<void> {
    const { signal } = this.#stopping
    const everyMs = (this.#lifetimeSeconds * 1000) / 4
    while (!signal.aborted) {
      // Rejects only when aborted.
      await delay(everyMs, undefined, { signal, ref: false }).catch(() => {})
      if (signal.aborted) return
      try {
        if (this.#lease !== undefined && (await this.#keepAlive(this.#lease)) <= 0) this.#lease = undefined
        if (this.#lease === undefined) await this.#show()
      } catch (error) {
        // The next beat tries again, at the next endpoint.
        if (!(error instanceof CallError)) throw error
      }
    }
  }

  /** Seconds that the lease has left; 0 when it is gone. */
  async #keepAlive(lease: bigint): Promise<number> {
    const { call, endpoint } = await this.#lane.stream(leaseKeepAlive)
    try {
      return await new Promise<number>((resolve, reject) => {
        const failed = (details: string): void => reject(new CallError(endpoint, code.unavailable, details))
        const timer = setTimeout(() => failed(`no answer within ${callMs} ms`), callMs)
        call.once('data', (seconds: number) => {
          clearTimeout(timer)
          resolve(seconds)
        })
        call.on('error', (error) => {
          clearTimeout(timer)
          failed(error.message)
        })
        call.write(lease)
      })
    } catch (error) {
      this.#lane.leave(endpoint)
      throw error
    } finally {
      call.cancel()
    }
  }
}
