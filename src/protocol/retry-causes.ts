/** The words of a retry policy, apart from its schema: whoever only reads them needs no schema library. */
export const retryCauses = ['failed', 'timed-out', 'lost', 'crashed', 'infrastructure'] as const
export const retryPlaces = ['any', 'other-worker', 'other-host', 'other-class'] as const
