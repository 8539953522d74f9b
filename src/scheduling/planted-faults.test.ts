/**
 * That the property of need-history.test.ts has eyes: plausible mistakes are planted one by one in a copy of the code,
 * and it must find each. A mistake is a piece of the source and what stands in its place; when the piece has been
 * rewritten, write the mistake anew. A copy with none planted must pass, or finding them would mean nothing.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'

type Mistake = { readonly name: string; readonly file: string; readonly from: string; readonly to: string }

const mistakes: readonly Mistake[] = [
  { name: 'none', file: 'core/holdings.ts', from: '', to: '' },
  {
    name: 'locks are not checked',
    file: 'core/holdings.ts',
    from: 'if (holders.size === 0) return true',
    to: 'return true',
  },
  {
    name: 'a card is given twice',
    file: 'core/cards.ts',
    from: '(use && (exclusive || use.exclusive))',
    to: 'false',
  },
  {
    name: 'quotas are ignored',
    file: 'core/holdings.ts',
    from: 'if (state.shares.size === 0) return undefined',
    to: 'return undefined',
  },
  {
    name: 'counted resources are over-committed',
    file: 'core/holdings.ts',
    from: 'need.resources[name]! > left',
    to: 'need.resources[name]! > left + 1',
  },
  {
    name: 'a lock is not given back',
    file: 'core/holdings.ts',
    from: 'holders.delete(batch.id)',
    to: 'if (batch.begun) holders.delete(batch.id)',
  },
  {
    name: 'one of several dependencies is enough',
    file: 'core/dependencies.ts',
    from: 'if (dependencies.open.get(one) !== 0) continue',
    to: '',
  },
  {
    name: 'a run does not wait for runs before it',
    file: 'core/dependencies.ts',
    from: 'run.after.push(before)',
    to: '',
  },
  {
    name: 'a run that waits for nobody any more is not noticed',
    file: 'core/dependencies.ts',
    from: 'if (run.after.length === 0) noteQueue(state, run)',
    to: '',
  },
  {
    name: 'another priority is not noticed',
    file: 'core/advance.ts',
    from: 'run.priority = event.priority\n      noteQueue(state, run)',
    to: 'run.priority = event.priority',
  },
  {
    name: 'a line is left in the wrong place',
    file: 'scheduling/account.ts',
    from: 'other.key === entry.key &&',
    to: '',
  },
  {
    name: 'what a project has under way is not noticed',
    file: 'core/holdings.ts',
    from: 'noteSpent(state, {',
    to: 'if (batch.begun) noteSpent(state, {',
  },
  {
    name: 'that less is left before a deadline is not noticed',
    file: 'core/task.ts',
    from: 'else noteLeft(state, run)',
    to: '',
  },
  {
    name: 'that a deadline comes near is not noticed',
    file: 'scheduling/run-order.ts',
    from: 'all || changesAtMs <= this.#nowMs',
    to: 'all',
  },
  {
    name: "what is left of a project's quota is not kept for whoever's own is spent",
    file: 'scheduling/account.ts',
    from: 'if (hit === undefined || hit.scope === project) return false',
    to: '',
  },
]

/** Less of it than the test itself tries, and no search for the smallest example: it is to fail, no more. */
async function plant({ file, from, to }: Mistake): Promise<string> {
  const source = path.join(import.meta.dirname, '..')
  const copy = await mkdtemp(path.join(os.tmpdir(), 'muster-planted-'))
  for (const folder of ['core', 'scheduling', 'stdx'])
    await cp(path.join(source, folder), path.join(copy, folder), { recursive: true })
  await writeFile(path.join(copy, 'package.json'), '{ "type": "module" }')
  await symlink(path.join(source, '../node_modules'), path.join(copy, 'node_modules'))
  const planted = path.join(copy, file)
  const text = await readFile(planted, 'utf8')
  assert.ok(text.includes(from), `expected '${from}' in ${file}: plant the mistake anew`)
  await writeFile(planted, text.replace(from, to))
  const history = path.join(copy, 'scheduling/need-history.test.ts')
  const property = await readFile(history, 'utf8')
  assert.match(property, /numRuns: \d+/)
  await writeFile(history, property.replace(/numRuns: \d+/, 'endOnFailure: true, $&'))
  return copy
}

/** What the property says of the copy; empty when it holds. */
function run(copy: string): Promise<string> {
  // As a program of its own and not as a file of this test's runner, which would take its report for ours.
  const child = spawn(process.execPath, [path.join(copy, 'scheduling/need-history.test.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 120_000,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve(code === 0 ? '' : said || `it ended with ${code}`))
  })
}

for (const mistake of mistakes) {
  test(`found: ${mistake.name}`, async () => {
    const copy = await plant(mistake)
    try {
      const said = await run(copy)
      if (mistake.name === 'none') assert.equal(said, '')
      else assert.match(said, /Property failed after/)
    } finally {
      await rm(copy, { recursive: true, force: true })
    }
  })
}
