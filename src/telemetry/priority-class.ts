/**
 * Priorities are numbers without bounds that matter; a label of a metric must have few values. Three
 * classes say what a person asks: does what is urgent wait, does what can wait wait.
 */
export const priorityClasses = ['low', 'normal', 'high'] as const
export type PriorityClass = (typeof priorityClasses)[number]

export function priorityClass(priority: number): PriorityClass {
  if (priority < 0) return 'low'
  return priority > 0 ? 'high' : 'normal'
}
