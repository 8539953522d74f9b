import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { untilGone } from '../test-worker.ts'
import { ask } from './ask.ts'
import { PlantedHost } from './fixtures/planted-host.ts'

function put(host: PlantedHost, script: string, timeoutMs = 20_000): Promise<string> {
  host.program('tool', script)
  return ask('tool', ['x'], { timeoutMs, env: host.env(), signal: host.host().signal })
}

describe('ask', () => {
  it('gives what the program printed', async () => {
    using host = new PlantedHost()
    assert.equal(await put(host, 'echo "got $1"; echo noise >&2'), 'got x\n')
  })

  it('says how a program ended, and its first words', async () => {
    using host = new PlantedHost()
    await assert.rejects(put(host, 'echo; echo no driver; echo more; exit 9'), {
      message: 'tool ended with 9: no driver',
    })
    await assert.rejects(put(host, 'echo out; echo complaint >&2; exit 1'), { message: 'tool ended with 1: complaint' })
    await assert.rejects(put(host, 'kill -TERM $$'), { message: 'tool ended with SIGTERM' })
  })

  it('says that a program is not there', async () => {
    using host = new PlantedHost()
    const question = { timeoutMs: 1000, env: host.env(), signal: host.host().signal }
    await assert.rejects(ask('no-such-tool', [], question), { message: 'no-such-tool is not on PATH' })
  })

  it('gives up what hangs, and ends it with what it started', async () => {
    using host = new PlantedHost()
    const pids = path.join(host.directory, 'pids')
    const script = `sleep 1000 & echo $! > ${pids}; echo $$ >> ${pids}; wait`
    // Long enough for it to begin: it is asked with a low priority.
    await assert.rejects(put(host, script, 4000), { message: 'tool did not answer within 4 s' })
    await untilGone(readFileSync(pids, 'utf8').trim().split('\n').map(Number))
  })

  it('is not kept by something that holds the output open', async () => {
    using host = new PlantedHost()
    assert.equal(await put(host, 'sleep 1000 & echo here'), 'here\n')
  })

  it('reads no more than a program has to say', async () => {
    using host = new PlantedHost()
    await assert.rejects(put(host, 'yes'), { message: 'tool printed more than 1024 KiB' })
  })

  it('ends with the worker', async () => {
    using host = new PlantedHost()
    const asked = put(host, 'sleep 1000')
    host.abort()
    await assert.rejects(asked, { message: 'tool was not waited for: the worker ends' })
  })
})
