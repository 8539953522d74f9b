/** Assertions that stay on in production: a broken one is a bug in Muster, never bad input. */
export class AssertionFailed extends Error {
  override name = 'AssertionFailed'
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailed(message)
}

/** For the default branch of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionFailed(`unreachable: ${JSON.stringify(value)}`)
}
