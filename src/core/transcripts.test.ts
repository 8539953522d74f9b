/**
 * Every file in transcripts/ is a history: commands after `>`, what the core made of them below. To
 * write a new one, put in the commands and run with UPDATE_TRANSCRIPTS=1, then read what it says.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { emptyState } from './state.ts'
import { transcript } from './transcript.ts'

const directory = join(import.meta.dirname, 'transcripts')

for (const name of readdirSync(directory)) {
  test(`transcript ${name.replace(/\.txt$/, '')}`, () => {
    const path = join(directory, name)
    const recorded = readFileSync(path, 'utf8')
    const script = recorded
      .split('\n')
      .filter((line) => line.startsWith('> '))
      .map((line) => line.slice(2))
      .join('\n')
    const actual = `${transcript(emptyState(), script)}\n`
    if (process.env['UPDATE_TRANSCRIPTS']) writeFileSync(path, actual)
    else assert.equal(actual, recorded)
  })
}
