/**
 * Names in an expression that mean nothing on any connected worker: most often they are misspelt, so the name that was
 * meant is looked for among those that workers have. Asked only where nobody fits.
 */
import { allAttributes, attributesOf, isBuiltIn } from '../core/attributes.ts'
import type { Need } from '../core/entities.ts'
import { attributesIn, parseExpression } from '../core/expression.ts'
import type { Worker } from '../core/state.ts'
import { similarName } from '../stdx/similar.ts'

export type UnknownAttribute = { readonly name: string; readonly similar?: string }

/** Names of so many workers are looked through. */
const workersMax = 100

export function unknownAttributes({ where }: Need, workers: readonly Worker[]): readonly UnknownAttribute[] {
  if (where === undefined) return []
  const missing = attributesIn(parseExpression(where)).filter(
    (name) => !isBuiltIn(name) && !workers.some((worker) => isKnown(worker, name)),
  )
  if (missing.length === 0) return []
  const known = new Set<string>()
  for (const { capabilities, name } of workers.slice(0, workersMax))
    for (const attribute of allAttributes(capabilities, name).keys()) known.add(attribute)
  return missing.map((name) => {
    const similar = similarName(name, known)
    return similar === undefined ? { name } : { name, similar }
  })
}

/** What could not be found out of a machine is spelt as it should be. */
function isKnown({ capabilities, name }: Worker, attribute: string): boolean {
  if (attributesOf(capabilities, name)(attribute) !== undefined) return true
  const { unavailable } = capabilities
  return unavailable !== undefined && Object.hasOwn(unavailable, attribute)
}
