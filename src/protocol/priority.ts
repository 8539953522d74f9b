/** Priorities are numbers, larger goes first; the usual ones have names. */
export const priorityNames = { critical: 500, high: 100, normal: 0, low: -100, background: -500 } as const
export type PriorityName = keyof typeof priorityNames

const priorityMax = 1000

/** Of a name or a number from -1000 to 1000; undefined when it is neither. */
export function priorityOf(given: string | number): number | undefined {
  if (typeof given === 'string' && Object.hasOwn(priorityNames, given)) return priorityNames[given as PriorityName]
  if (typeof given === 'string' && !/^-?\d+$/.test(given)) return undefined
  const number = Number(given)
  return Number.isInteger(number) && Math.abs(number) <= priorityMax ? number : undefined
}
