/**
 * Which task a test of a JUnit report belongs to. Reports name files in many ways: an attribute with a path
 * (absolute, or relative to who knows what), a class name (`tests.test_cart.TestTotal`, `com.shop.CartTest`),
 * a suite named after its file. A match must be unique; a doubtful one is none.
 *
 * In a batch of one file everything is that file's.
 */
import type { JUnitCase } from './junit.ts'

export type Placed = {
  readonly file: string
  /** Name path of the test within the file. */
  readonly name: readonly string[]
}

export class FileFinder {
  readonly #files: readonly string[]
  readonly #stems: ReadonlyMap<string, string>
  readonly #known = new Map<string, string | undefined>()

  constructor(files: readonly string[]) {
    this.#files = files
    this.#stems = new Map(files.map((file) => [file, stem(file)]))
  }

  place(one: Pick<JUnitCase, 'name' | 'className' | 'files' | 'suites'>): Placed | undefined {
    const file = this.find(one)
    return file === undefined ? undefined : { file, name: namePath(file, one) }
  }

  find(one: Pick<JUnitCase, 'className' | 'files' | 'suites'>): string | undefined {
    return this.#files.length === 1 ? this.#files[0] : this.named(one)
  }

  /** As `find`, but only by what the report says, also in a batch of one file. */
  named(one: Pick<JUnitCase, 'className' | 'files' | 'suites'>): string | undefined {
    for (const text of one.files) {
      const found = this.#remember(text, () => this.#byPath(text))
      if (found !== undefined) return found
    }
    for (const text of [one.className, ...one.suites]) {
      if (text === undefined) continue
      const found = this.#remember(text, () => this.#byPath(text) ?? this.#byDots(text))
      if (found !== undefined) return found
    }
    return undefined
  }

  #remember(text: string, find: () => string | undefined): string | undefined {
    if (!this.#known.has(text)) this.#known.set(text, find())
    return this.#known.get(text)
  }

  /** The same path, or one that ends with the other at a folder's border. */
  #byPath(text: string): string | undefined {
    const path = text
      .replaceAll('\\', '/')
      .replace(/^(\.\/)+/, '')
      .replace(/:\d+$/, '')
    if (this.#files.includes(path)) return path
    return only(this.#files.filter((file) => file.endsWith(`/${path}`) || path.endsWith(`/${file}`)))
  }

  /** `a.b.c.D$E`: the longest beginning of it that is the end of a listed file without its extension. */
  #byDots(text: string): string | undefined {
    const parts = text.split('$')[0]!.split(/[.\\/]|::/)
    for (let length = parts.length; length > 0; length -= 1) {
      const path = parts.slice(0, length).join('/')
      const found = this.#files.filter((file) => {
        const own = this.#stems.get(file)!
        return own === path || endsWith(own, path) || endsWith(path, own)
      })
      if (found.length > 0) return only(found)
    }
    return undefined
  }
}

function only(found: readonly string[]): string | undefined {
  return found.length === 1 ? found[0] : undefined
}

/** Without its extension, in folders: `src/cart.test.ts` is `src/cart/test`, as `src.cart.test` would be. */
function stem(file: string): string {
  return file.replace(/(?<=[^/])\.[^/.]+$/, '').replaceAll('.', '/')
}

function endsWith(long: string, short: string): boolean {
  return long.endsWith(`/${short}`)
}

/** The class, as far as it isn't just the file once more, then the test. */
function namePath(file: string, one: Pick<JUnitCase, 'name' | 'className'>): readonly string[] {
  const { className, name } = one
  if (className === undefined || className === name || className === file) return [name]
  // Name spaces and folders often differ in case.
  const own = stem(file).toLowerCase()
  const [outer = '', ...inner] = className.split('$')
  const parts = outer.split('.')
  for (let length = parts.length; length > 0; length -= 1) {
    const path = parts.slice(0, length).join('/').toLowerCase()
    if (own === path || endsWith(own, path) || endsWith(path, own)) return [...parts.slice(length), ...inner, name]
  }
  return [className, name]
}
