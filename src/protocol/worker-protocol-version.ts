/** Alone in its file: a worker needs it at start, and the schemas (with their library) never. */
export const workerProtocolVersion = 2
