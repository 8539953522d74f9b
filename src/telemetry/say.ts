/** How any part says something to whoever runs the program: a level, words, and fields. */
export type Say = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  detail: Readonly<Record<string, unknown>>,
) => void
