/** What each probe has found so far, and how that adds up. A probe that is done again replaces what it had found. */
import type { Gpu } from '../../protocol/worker-messages.ts'
import type { AttributeValue } from './detected.ts'
import type { Finding } from './probe.ts'

export class Findings {
  /** By probe; later ones win. */
  readonly #byName = new Map<string, Finding>()
  readonly #changed: () => void

  constructor(changed: () => void) {
    this.#changed = changed
  }

  /** `name`: the group under which it is unavailable while it is asked, and when it fails. */
  async probe(name: string, look: () => Promise<Finding>): Promise<void> {
    // What is looked at again counts until that is done.
    if (!this.#byName.has(name)) this.#byName.set(name, { unavailable: { [name]: 'not known yet' } })
    try {
      this.found(name, await look())
    } catch (error) {
      this.found(name, { unavailable: { [name]: error instanceof Error ? error.message : String(error) } })
    }
  }

  found(name: string, finding: Finding): void {
    this.#byName.set(name, finding)
    this.#changed()
  }

  forget(name: string): void {
    if (this.#byName.delete(name)) this.#changed()
  }

  get gpus(): Gpu[] {
    return [...this.#byName.values()].flatMap((finding) => finding.gpus ?? [])
  }

  get attributes(): Record<string, AttributeValue> {
    const attributes: Record<string, AttributeValue> = {}
    for (const finding of this.#byName.values()) {
      for (const [name, value] of Object.entries(finding.attributes ?? {}))
        if (value !== undefined) attributes[name] = value
    }
    return attributes
  }

  get unavailable(): Record<string, string> {
    return Object.assign({}, ...[...this.#byName.values()].map((finding) => finding.unavailable)) as Record<
      string,
      string
    >
  }
}
