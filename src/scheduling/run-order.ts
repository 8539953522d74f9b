/**
 * Runs with work to hand out in the order in which a strategy serves them, kept from one decision to the next: with
 * thousands of waiting runs, sorting them whenever a worker becomes free would cost more than everything else. Groups that
 * ask for the same stand in one line (account.ts), and runs of one project and user in one account where shares matter
 * (accounts.ts). What is kept here follows from state, and any coordinator comes to the same order.
 *
 * It can be kept because time changes the place of few: a point of priority is worth a fixed time of waiting, so two runs
 * never change places by waiting. For which time does more (a deadline comes near), it is known when it will next.
 */
import { isServed } from '../core/due.ts'
import type { Lock, RunId } from '../core/entities.ts'
import { type Scopes, scopesOf } from '../core/holdings.ts'
import { hasQuota } from '../core/shares.ts'
import { slotEndMs } from '../core/spent.ts'
import type { Run, State } from '../core/state.ts'
import {
  Account,
  compareEntries,
  compareRanks,
  compareSince,
  type Entry,
  indexOf,
  isIn,
  type Line,
  type Rank,
} from './account.ts'
import { Accounts, type Rule } from './accounts.ts'
import { claimOf, type Demand, Fleets, fleetsMarkOf, lineOf, placeOf, plainLineOf, type View } from './fleet.ts'
import { type Standing, standingOfScopes, totalsOf } from './share.ts'

export type KeyedOrder = {
  /** Larger first, among equals the older one. Follows from what the run is, when it came, and its priority. */
  readonly key: (run: Run) => number
  /** Runs for which time and what is left of them change it: what it is now, and until when if nothing happens to the run. */
  readonly moving?: {
    readonly is: (run: Run) => boolean
    readonly key: (run: Run, fleets: Fleets, nowMs: number) => { readonly key: number; readonly changesAtMs: number }
  }
  /**
   * Where shares are configured: keys plus the time that are in the same step count as equal, and whoever is furthest
   * below its share goes first; absent = shares don't matter.
   */
  readonly shareStep?: number
  /** Runs are given one batch at a time in turn, and these are compared by their accounts before anything else. */
  readonly inTurn?: InTurn
}

export type InTurn = {
  /** Of a run with this standing that was given something last at `sinceMs`; `changesAtMs`: when it is another one. */
  readonly rank: (
    standing: Standing,
    sinceMs: number,
    nowMs: number,
  ) => Omit<Rank, 'head'> & { readonly changesAtMs: number }
  /** Whether it has waited for so long by now that it comes before the others of its account. */
  readonly isAhead: (sinceMs: number, nowMs: number) => boolean
}

const orders = new WeakMap<State, Map<KeyedOrder, RunOrder>>()

/** As the state is now. Good until the state changes. */
export function runOrderOf(view: View, keyed: KeyedOrder, nowMs: number): RunOrder {
  const { state } = view
  let ofState = orders.get(state)
  if (!ofState) {
    ofState = new Map()
    orders.set(state, ofState)
  }
  let order = ofState.get(keyed)
  if (!order) {
    order = new RunOrder(state, keyed)
    ofState.set(keyed, order)
  }
  order.catchUp(view, nowMs)
  return order
}

/** A run whose key time changes. */
type Moving = { readonly run: Run; readonly changesAtMs: number }

export class RunOrder {
  readonly keyed: KeyedOrder
  readonly #state: State
  readonly #accounts: Accounts
  /** Where nobody's shares matter. */
  #everybody: readonly Account[]
  readonly #entries = new Map<RunId, Entry>()
  /** By name of the lock, then by what is asked for with it: how many lines. */
  readonly #byLock = new Map<string, Map<Demand, { lines: number; readonly locks: readonly Lock[] }>>()
  readonly #contested = new Map<Demand, boolean>()
  /** How many lines ask for it. */
  readonly #demands = new Map<Demand, number>()
  readonly #moving = new Map<RunId, Moving>()
  #movesAtMs = Infinity
  #fleets: Fleets | undefined
  #fleetsMark: unknown
  #nowMs = -Infinity
  #hasAccounts = false
  /** Positions in the state's lists of changes up to which they are in here. */
  #read = -1
  #readSpent = -1

  constructor(state: State, keyed: KeyedOrder) {
    this.#state = state
    this.keyed = keyed
    this.#accounts = new Accounts(state, ruleOf(keyed))
    this.#everybody = [new Account(undefined)]
  }

  /** Distinct things that are asked for. */
  get demandCount(): number {
    return this.#demands.size
  }

  get count(): number {
    return this.#entries.size
  }

  /** Accounts in order, without those that nothing can be given to. Good until the state changes. */
  ranking(): readonly Account[] {
    return this.#hasAccounts ? this.#accounts.ranking(this.#nowMs) : this.#everybody
  }

  catchUp(view: View, nowMs: number): void {
    const { queueChanges, spentChanges, runs } = this.#state
    this.#fleets = undefined
    const backwards = nowMs < this.#nowMs
    this.#nowMs = nowMs
    if (this.#read < queueChanges.from || this.#readSpent < spentChanges.from || backwards) this.#rebuild(view)
    else {
      let last: RunId | undefined
      for (let at = this.#read - queueChanges.from; at < queueChanges.runs.length; at += 1) {
        const id = queueChanges.runs[at]!
        if (id !== last) this.#look(view, id, runs.get(id))
        last = id
      }
      if (this.#hasAccounts)
        for (let at = this.#readSpent - spentChanges.from; at < spentChanges.of.length; at += 1)
          this.#noteSpent(spentChanges.of[at]!)
      if (this.#moving.size > 0) this.#move(view)
    }
    this.#read = queueChanges.from + queueChanges.runs.length
    this.#readSpent = spentChanges.from + spentChanges.of.length
  }

  #rebuild(view: View): void {
    this.#hasAccounts = hasAccounts(this.#state, this.keyed)
    this.#everybody = [new Account(undefined)]
    this.#accounts.clear()
    this.#contested.clear()
    this.#demands.clear()
    this.#byLock.clear()
    this.#moving.clear()
    this.#movesAtMs = Infinity
    this.#fleetsMark = fleetsMarkOf(view)
    this.#entries.clear()
    const entries: Entry[] = []
    for (const id of this.#state.active) {
      const run = this.#state.runs.get(id)!
      if (isServed(run)) entries.push(this.#entryOf(view, run, undefined))
    }
    entries.sort(compareEntries)
    for (const entry of entries) {
      this.#entries.set(entry.run.id, entry)
      for (const { line } of entry.stands) line.entries.push(entry)
      if (this.keyed.inTurn !== undefined) {
        entry.account.entries.push(entry)
        entry.account.bySince.push(entry)
      }
    }
    for (const account of new Set(entries.map((entry) => entry.account))) {
      account.bySince.sort(compareSince)
      this.#note(account)
    }
  }

  #note(account: Account): void {
    if (account.scopes !== undefined) this.#accounts.note(account)
  }

  /** Those whose time has come, or all of them when they count on other workers than before. */
  #move(view: View): void {
    const mark = fleetsMarkOf(view)
    const all = mark === undefined || mark !== this.#fleetsMark
    this.#fleetsMark = mark
    if (!all && this.#nowMs < this.#movesAtMs) return
    for (const { run, changesAtMs } of this.#moving.values())
      if (all || changesAtMs <= this.#nowMs) this.#look(view, run.id, run)
    this.#movesAtMs = Infinity
    for (const { changesAtMs } of this.#moving.values()) this.#movesAtMs = Math.min(this.#movesAtMs, changesAtMs)
  }

  #keyOf(view: View, run: Run): number {
    const { key, moving } = this.keyed
    if (!moving?.is(run)) return key(run)
    this.#fleets ??= new Fleets(view)
    const now = moving.key(run, this.#fleets, this.#nowMs)
    this.#moving.set(run.id, { run, changesAtMs: now.changesAtMs })
    if (now.changesAtMs < this.#movesAtMs) this.#movesAtMs = now.changesAtMs
    return now.key
  }

  #entryOf(view: View, run: Run, before: Entry | undefined): Entry {
    const account = before?.account ?? (this.#hasAccounts ? this.#accounts.of(scopesOf(run)) : this.#everybody[0]!)
    const stands: { readonly line: Line; readonly groups: Run['groups'][number][] }[] = []
    for (const group of run.groups) {
      if (group.queuedCount === 0) continue
      const demand = lineOf(this.#state, run, group)
      const line = account.lines.get(demand) ?? this.#newLine(account, demand, run, group)
      const stand = stands.find((one) => one.line === line)
      if (stand) stand.groups.push(group)
      else stands.push({ line, groups: [group] })
    }
    const sinceMs = this.keyed.inTurn === undefined ? 0 : (before?.sinceMs ?? sinceOf(this.#state, run))
    return { run, key: this.#keyOf(view, run), account, stands, sinceMs }
  }

  #newLine(account: Account, demand: Demand, run: Run, group: Run['groups'][number]): Line {
    const { need } = group
    const claim = claimOf(this.#state, run, group)
    const line: Line = { demand, plain: plainLineOf(run, group), place: placeOf(run, group), claim, need, entries: [] }
    account.lines.set(demand, line)
    const lines = account.claims.get(claim)
    if (lines) lines.push(line)
    else account.claims.set(claim, [line])
    this.#demands.set(demand, (this.#demands.get(demand) ?? 0) + 1)
    for (const { name } of need.locks ?? []) {
      let demands = this.#byLock.get(name)
      if (!demands) {
        demands = new Map()
        this.#byLock.set(name, demands)
      }
      const known = demands.get(line.plain)
      if (known) known.lines += 1
      else {
        demands.set(line.plain, { lines: 1, locks: need.locks! })
        this.#contested.clear()
      }
    }
    return line
  }

  #forget(account: Account, line: Line): void {
    account.lines.delete(line.demand)
    const others = account.claims.get(line.claim)!
    others.splice(others.indexOf(line), 1)
    if (others.length === 0) account.claims.delete(line.claim)
    const count = this.#demands.get(line.demand)! - 1
    if (count === 0) this.#demands.delete(line.demand)
    else this.#demands.set(line.demand, count)
    for (const { name } of line.need.locks ?? []) {
      const demands = this.#byLock.get(name)!
      const known = demands.get(line.plain)!
      known.lines -= 1
      if (known.lines > 0) continue
      this.#contested.clear()
      demands.delete(line.plain)
      if (demands.size === 0) this.#byLock.delete(name)
    }
  }

  /** Whether what is kept of the line's locks may keep somebody of another line from them. */
  isContested({ need, plain }: Line): boolean {
    if (need.locks === undefined) return false
    let contested = this.#contested.get(plain)
    if (contested === undefined) {
      contested = this.#findContest(need.locks)
      this.#contested.set(plain, contested)
    }
    return contested
  }

  #findContest(locks: readonly Lock[]): boolean {
    return locks.some(({ name, mode }) => {
      const demands = this.#byLock.get(name)!
      if (demands.size === 1) return false
      if (mode !== 'shared') return true
      for (const other of demands.values())
        if (other.locks.some((lock) => lock.name === name && lock.mode !== 'shared')) return true
      return false
    })
  }

  /** `run`: undefined for one that is forgotten by now. While nobody is free, nobody looks here for long. */
  #look(view: View, id: RunId, run: Run | undefined): void {
    const served = run !== undefined && isServed(run) ? run : undefined
    const before = this.#entries.get(id)
    if (!served) this.#moving.delete(id)
    const after = served && this.#entryOf(view, served, before)
    for (const { line } of before?.stands ?? [])
      if (!isIn(line, before!, after)) line.entries.splice(indexOf(line.entries, before!), 1)
    if (after) {
      for (const { line } of after.stands) {
        const at = indexOf(line.entries, after)
        line.entries.splice(at, before && isIn(line, after, before) ? 1 : 0, after)
      }
      this.#entries.set(id, after)
    } else this.#entries.delete(id)
    if (this.keyed.inTurn !== undefined) replace(before, after)
    const account = after?.account ?? before?.account
    if (account) this.#note(account)
    for (const { line } of before?.stands ?? []) if (line.entries.length === 0) this.#forget(account!, line)
  }

  #noteSpent({ run: id, scopes, assignedAtMs, by }: State['spentChanges']['of'][number]): void {
    for (const scope of scopes) this.#accounts.noteScope(scope)
    const entry = this.#entries.get(id)
    if (this.keyed.inTurn === undefined || entry === undefined) return
    // One that was given something before the newest changes nothing by its end.
    if (by < 0 && assignedAtMs < entry.sinceMs) return
    const sinceMs = by > 0 ? Math.max(entry.sinceMs, assignedAtMs) : sinceOf(this.#state, entry.run, entry.sinceMs)
    if (sinceMs === entry.sinceMs) return
    const after = { ...entry, sinceMs }
    replace(entry, after)
    for (const { line } of entry.stands) line.entries[indexOf(line.entries, entry)] = after
    this.#entries.set(id, after)
  }
}

function replace(before: Entry | undefined, after: Entry | undefined): void {
  for (const [list, compare] of [
    ['entries', compareEntries],
    ['bySince', compareSince],
  ] as const) {
    if (before) before.account[list].splice(indexOf(before.account[list], before, compare), 1)
    if (after) after.account[list].splice(indexOf(after.account[list], after, compare), 0, after)
  }
}

/** When it was given the newest of what it has under way, else when it came. `atMostMs`: nothing newer is expected. */
export function sinceOf(state: State, run: Run, atMostMs = Infinity): number {
  let sinceMs = run.createdAtMs
  for (const id of run.batches) {
    const { assignedAtMs } = state.batches.get(id)!
    if (assignedAtMs > sinceMs) sinceMs = assignedAtMs
    if (sinceMs === atMostMs) break
  }
  return sinceMs
}

function hasAccounts({ shares }: State, { shareStep, inTurn }: KeyedOrder): boolean {
  return inTurn !== undefined || (shares.size > 0 && (shareStep !== undefined || [...shares.values()].some(hasQuota)))
}

function ruleOf(keyed: KeyedOrder): Rule {
  const { inTurn } = keyed
  if (inTurn === undefined) {
    return {
      rank: (account, { shares }, nowMs) => {
        const head = account.head()!
        const changesAtMs = changesAt(keyed, head.key, nowMs)
        return { ...rankOf(keyed, shares.size > 0 ? account.standing : undefined, head, nowMs), changesAtMs }
      },
    }
  }
  return {
    rank: (account, _state, nowMs) => {
      const oldest = account.bySince[0]!
      const head = inTurn.isAhead(oldest.sinceMs, nowMs) ? oldest : account.entries[0]!
      const rank = { ...inTurn.rank(account.standing, head.sinceMs, nowMs), head }
      const { changesAtMs } = inTurn.rank(account.standing, oldest.sinceMs, nowMs)
      return { ...rank, changesAtMs }
    },
  }
}

/** When the step is another one that this key is in. */
function changesAt({ shareStep }: KeyedOrder, key: number, nowMs: number): number {
  return shareStep === undefined ? Infinity : (Math.floor((nowMs + key) / shareStep) + 1) * shareStep - key
}

export function rankOf(
  { shareStep }: KeyedOrder,
  standing: Standing | undefined,
  head: Rank['head'],
  nowMs: number,
): Rank {
  if (shareStep === undefined || standing === undefined) return { first: 0, second: 0, third: 0, head }
  return { first: -Math.floor((nowMs + head.key) / shareStep), second: standing[0], third: standing[1], head }
}

/** Some runs in this order, for who needs no more than that. */
export function sortRuns(keyed: KeyedOrder, view: View, runs: Run[], nowMs: number): Run[] {
  if (runs.length < 2) return runs
  const { state } = view
  const fleets = new Fleets(view)
  const standing = standings(state, nowMs)
  const { moving } = keyed
  const ranks = runs.map((run): Rank => {
    const key = moving?.is(run) ? moving.key(run, fleets, nowMs).key : keyed.key(run)
    return rankOf(keyed, state.shares.size > 0 ? standing(run) : undefined, { run, key }, nowMs)
  })
  return ranks.sort(compareRanks).map(({ head }) => head.run)
}

/** What runs are compared by, beside their keys; the same for all of a project and user. */
export function standings(state: State, nowMs: number): (run: Run) => Standing {
  const totals = totalsOf(state)
  const known = new Map<Scopes, Standing>()
  return (run) => {
    const scopes = scopesOf(run)
    let standing = known.get(scopes)
    if (standing === undefined) {
      standing = standingOfScopes(state, scopes, totals, slotEndMs(nowMs))
      known.set(scopes, standing)
    }
    return standing
  }
}
