/**
 * Jest's own order of tests. It is here because it is the only public place that sees, before the run,
 * in how many projects each file will run: the reporter has to know when it has seen the last of them.
 */
'use strict'

const { createRequire } = require('node:module')

const cli = createRequire(process.env.MUSTER_JEST_BIN).resolve('jest-cli')
const core = createRequire(cli).resolve('@jest/core')
const loaded = createRequire(core)('@jest/test-sequencer')
const Sequencer = loaded.default ?? loaded

/** Absolute path → number of projects. */
const planned = new Map()

class CountingSequencer extends Sequencer {
  async sort(tests) {
    const sorted = await super.sort(tests)
    planned.clear()
    for (const test of sorted) planned.set(test.path, (planned.get(test.path) ?? 0) + 1)
    return sorted
  }
}

module.exports = CountingSequencer
module.exports.planned = planned
