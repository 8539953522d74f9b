/**
 * Which browsers are here, and what they can do: each is asked by its self-test once, and again when its file or the cards are
 * others. One that fails is tried a few times more, since a busy machine can be the reason; then its reason stays.
 */
import { selfTestFinding } from './browser-finding.ts'
import { selfTest } from './browser-self-test.ts'
import { findBrowsers, type Browser } from './browsers.ts'
import type { Findings } from './findings.ts'
import type { Host } from './probe.ts'
import type { Remembered } from './remembered.ts'
import { isSelfTest } from './self-test-page.ts'

/** To be raised when the page asks something else: what was remembered is then asked again. */
const selfTestVersion = 2
const selfTestMs = 60_000
const triesMax = 3

export class BrowserTests {
  readonly #host: Host
  readonly #remembered: Remembered
  readonly #findings: Findings
  #browsers: readonly Browser[] = []
  #untested: { readonly browser: Browser; readonly print: string }[] = []
  /** By what is tested. */
  readonly #failures = new Map<string, number>()

  constructor(host: Host, remembered: Remembered, findings: Findings) {
    this.#host = host
    this.#remembered = remembered
    this.#findings = findings
  }

  async find(): Promise<void> {
    const before = this.#browsers
    await this.#findings.probe('browser', async () => {
      const { browsers, finding } = await findBrowsers(this.#host, this.#remembered)
      this.#browsers = browsers
      return finding
    })
    const names = new Set(this.#browsers.map(({ name }) => name))
    for (const { name } of before) if (!names.has(name)) this.#findings.forget(groupOf(name))
  }

  /** What is remembered of them counts. To be called when cards are known: what browsers answer depends on them. */
  recall(): void {
    this.#untested = []
    for (const browser of this.#browsers) {
      const print = JSON.stringify([selfTestVersion, browser.print, this.#findings.gpus])
      const known = this.#remembered.get(keyOf(browser), print)
      if (isSelfTest(known)) {
        this.#findings.found(groupOf(browser.name), selfTestFinding(browser.name, known))
        continue
      }
      const failures = this.#failures.get(browser.file + print) ?? 0
      if (failures === 0)
        this.#findings.found(groupOf(browser.name), { unavailable: { [groupOf(browser.name)]: 'not tested yet' } })
      if (failures < triesMax) this.#untested.push({ browser, print })
    }
  }

  /** One after the other. `mayDisturb` resolves when the machine has nothing else to do; to false when it never will. */
  async test(mayDisturb: () => Promise<boolean>): Promise<void> {
    for (const { browser, print } of this.#untested.splice(0)) {
      if (!(await mayDisturb())) return
      await this.#findings.probe(groupOf(browser.name), async () => {
        try {
          const answer = await selfTest(this.#host, browser, selfTestMs)
          this.#remembered.set(keyOf(browser), print, answer)
          return selfTestFinding(browser.name, answer)
        } catch (error) {
          const tested = browser.file + print
          this.#failures.set(tested, (this.#failures.get(tested) ?? 0) + 1)
          throw error
        }
      })
    }
  }
}

function groupOf(name: string): string {
  return `browser.${name}.self-test`
}

function keyOf({ file }: Browser): string {
  return `self-test ${file}`
}
