/**
 * What code of a plugin adds to the prototype of all objects or lists, everybody finds in every loop over keys: a label
 * that no metric knows, a field that no message has. It is looked for after each call, which costs next to nothing, and
 * taken away again. What isn't enumerable does no such harm, and isn't looked for.
 */

const empty: object = []

/** The name of one of them; undefined = there was nothing. All are removed. */
export function removeStain(): string | undefined {
  let found: string | undefined
  // What is inherited is what is looked for.
  for (const key in empty) {
    found ??= key
    Reflect.deleteProperty(Array.prototype, key)
    Reflect.deleteProperty(Object.prototype, key)
  }
  return found
}

export function stainWords(name: string): string {
  return `expected the prototypes of all objects and lists as they were, received '${name}' on one of them`
}
