/**
 * Accounts: what waits of one project and user, and the order in which accounts are served. Runs of one account stand alike
 * in shares and quotas, so these are looked at once per account, and only when something happened to it: a batch of its
 * project or user began or ended, its first run is another one, or a moment has come that was known before. With a
 * thousand accounts, comparing all of them at every decision would cost more than the decision.
 *
 * An account whose quota is spent altogether is in nobody's way and has nothing to be given; it comes back when its
 * quota does.
 */
import type { Scopes } from '../core/holdings.ts'
import { slotEndMs } from '../core/spent.ts'
import type { State } from '../core/state.ts'
import { Account, compareRanks, type Rank } from './account.ts'
import { standingOfScopes, totalsOf } from './share.ts'

/** How accounts are compared. */
export type Rule = {
  /** Rank of an account by its first run, and when it will be another though nothing happens. */
  readonly rank: (account: Account, state: State, nowMs: number) => Rank & { readonly changesAtMs: number }
}

/** Runs of one project, or of one user. */
type Side = Set<Account>

/** All accounts with waiting runs, in order. */
export class Accounts {
  readonly #state: State
  readonly #rule: Rule
  readonly #byProject = new Map<string, Map<string, Account>>()
  readonly #sides = new Map<string, Side>()
  readonly #all = new Set<Account>()
  readonly #changed: Account[] = []
  #ranking: Account[] = []
  #lookedAtMs = -Infinity
  #changesAtMs = -Infinity
  #fleetVersion = -1

  constructor(state: State, rule: Rule) {
    this.#state = state
    this.#rule = rule
  }

  clear(): void {
    this.#byProject.clear()
    this.#sides.clear()
    this.#all.clear()
    this.#changed.length = 0
    this.#ranking = []
  }

  of(scopes: Scopes): Account {
    const [project, user] = scopes
    let byUser = this.#byProject.get(project)
    if (!byUser) {
      byUser = new Map()
      this.#byProject.set(project, byUser)
    }
    let account = byUser.get(user)
    if (!account) {
      account = new Account(scopes)
      byUser.set(user, account)
      this.#all.add(account)
      for (const scope of scopes) {
        const side = this.#sides.get(scope)
        if (side) side.add(account)
        else this.#sides.set(scope, new Set([account]))
      }
    }
    return account
  }

  /** What it is ranked by may be something else now. */
  note(account: Account): void {
    if (account.isChanged) return
    account.isChanged = true
    this.#changed.push(account)
  }

  noteScope(scope: string): void {
    for (const account of this.#sides.get(scope) ?? []) this.note(account)
  }

  /** In order, without those that are closed. Good until something happens. */
  ranking(nowMs: number): readonly Account[] {
    this.#noteTime(nowMs)
    if (this.#changed.length > 0) this.#rankChanged(nowMs)
    if (this.#changesAtMs === -Infinity) this.#findChange()
    return this.#ranking
  }

  #noteTime(nowMs: number): void {
    const { fleetVersion } = this.#state
    const isOther =
      fleetVersion !== this.#fleetVersion ||
      nowMs < this.#lookedAtMs ||
      slotEndMs(nowMs) !== slotEndMs(this.#lookedAtMs)
    this.#fleetVersion = fleetVersion
    this.#lookedAtMs = nowMs
    if (!isOther && nowMs < this.#changesAtMs) return
    for (const account of this.#all) if (isOther || account.changesAtMs <= nowMs) this.note(account)
    this.#changesAtMs = -Infinity
  }

  #rankChanged(nowMs: number): void {
    const changed = this.#changed
    // One by one, as long as that is less than sorting all of them.
    const few = changed.length * 8 < this.#ranking.length
    if (few) for (const account of changed) this.#take(account)
    else this.#ranking = this.#ranking.filter((account) => !account.isChanged)
    const kept = this.#ranking.length
    for (const account of changed) {
      account.isChanged = false
      this.#look(account, nowMs)
      if (account.rank === undefined) continue
      if (few) this.#ranking.splice(this.#indexOf(account.rank), 0, account)
      else this.#ranking.push(account)
      if (account.changesAtMs < this.#changesAtMs && this.#changesAtMs > -Infinity)
        this.#changesAtMs = account.changesAtMs
    }
    if (!few && this.#ranking.length > kept) this.#ranking.sort((a, b) => compareRanks(a.rank!, b.rank!))
    changed.length = 0
  }

  #findChange(): void {
    let firstMs = Infinity
    for (const { changesAtMs } of this.#all) if (changesAtMs < firstMs) firstMs = changesAtMs
    this.#changesAtMs = firstMs
  }

  #take(account: Account): void {
    if (account.rank !== undefined) this.#ranking.splice(this.#indexOf(account.rank), 1)
  }

  #indexOf(rank: Rank): number {
    let low = 0
    let high = this.#ranking.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (compareRanks(this.#ranking[middle]!.rank!, rank) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  #look(account: Account, nowMs: number): void {
    account.rank = undefined
    account.changesAtMs = Infinity
    if (account.lines.size === 0) {
      this.#forget(account)
      return
    }
    if (account.isClosed(this.#state, nowMs)) return
    account.standing = standingOfScopes(this.#state, account.scopes!, totalsOf(this.#state), slotEndMs(nowMs))
    const { changesAtMs, ...rank } = this.#rule.rank(account, this.#state, nowMs)
    account.rank = rank
    account.changesAtMs = changesAtMs
  }

  #forget(account: Account): void {
    const [project, user] = account.scopes!
    this.#all.delete(account)
    const byUser = this.#byProject.get(project)!
    byUser.delete(user)
    if (byUser.size === 0) this.#byProject.delete(project)
    for (const scope of [project, user]) {
      const side = this.#sides.get(scope)!
      side.delete(account)
      if (side.size === 0) this.#sides.delete(scope)
    }
  }
}
