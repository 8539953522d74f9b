/** Labels by which a coordinator finds the process of a worker that was started on its own host; not shown to people. */
export const pidLabel = 'muster.pid'
/** Set for the worker that a daemon has started, so that the next one may adopt it. */
export const daemonLabel = 'muster.daemon'
