/** What a checker found wrong. The first is what counts: what follows is mostly its consequence. */
export type Violation = { readonly check: string; readonly words: string }

const keptMax = 50

export class Violations {
  first: Violation | undefined
  count = 0
  /** The first ones, in their order. */
  readonly all: Violation[] = []

  /** `check` names the rule, `words` what happened. */
  found(check: string, words: string): void {
    this.count += 1
    this.first ??= { check, words }
    if (this.all.length < keptMax) this.all.push({ check, words })
  }
}
