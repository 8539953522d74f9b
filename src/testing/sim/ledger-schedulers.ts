/** What the log may say of schedulers at fault: five faults within ten minutes suspend one, and a suspended one does nothing. */
import type { Event } from '../../core/events.ts'
import type { Books } from './book-types.ts'

const faultsMax = 5
const withinMs = 10 * 60_000

type Book = { atMs: number[]; suspendedAt: number | undefined }

export class SchedulerBooks {
  readonly #books: Books
  readonly #byName = new Map<string, Book>()

  constructor(books: Books) {
    this.#books = books
  }

  chosen({ strategy }: Extract<Event, { type: 'scheduler.chosen' }>): void {
    if (strategy !== undefined) this.#byName.delete(strategy)
  }

  faulted({ strategy, suspended }: Extract<Event, { type: 'scheduler.faulted' }>): void {
    const { atMs, position } = this.#books
    const book = this.#byName.get(strategy) ?? { atMs: [], suspendedAt: undefined }
    this.#byName.set(strategy, book)
    // Who has its turn twice in a round may do wrong twice.
    this.#books.check(
      book.suspendedAt === undefined || book.suspendedAt === position,
      'a suspended scheduler is not asked',
      () => `${strategy} was suspended at ${book.suspendedAt}`,
    )
    book.atMs.push(atMs)
    const recent = book.atMs.filter((one) => one > atMs - withinMs).length
    this.#books.check(suspended === recent >= faultsMax, 'a scheduler is suspended after five faults', () => {
      return `${strategy} has ${recent} within ten minutes, and is ${suspended ? '' : 'not '}suspended`
    })
    if (suspended) book.suspendedAt ??= position
  }
}
