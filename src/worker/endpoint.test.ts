import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isMusterError } from '../protocol/errors.ts'
import { CoordinatorHttp, parseEndpoint, readAll } from './endpoint.ts'
import { CoordinatorProcess } from './test-coordinator-process.ts'
import { TestCoordinator } from './test-coordinator.ts'

function httpTo(...coordinators: readonly { readonly url: string }[]): CoordinatorHttp & Disposable {
  const http = new CoordinatorHttp(coordinators.map(({ url }) => parseEndpoint(url)))
  return Object.assign(http, { [Symbol.dispose]: () => http.close() })
}

describe('CoordinatorHttp', () => {
  it('asks another coordinator when one is away or lacks what is wanted', async () => {
    await using one = await new TestCoordinator().start()
    await using other = await new TestCoordinator().start()
    const hash = other.addBlob(Buffer.from('content'))
    using http = httpTo({ url: 'unix:/nowhere/muster.sock' }, one, other)
    assert.equal((await readAll(await http.open(`/api/v1/blobs/${hash}`), 100)).toString(), 'content')
    http.prefer(2)
    await readAll(await http.open(`/api/v1/blobs/${hash}`), 100)
    assert.deepEqual([one.blobRequests.length, other.blobRequests.length], [1, 2])
  })

  it('says not found only when none is away that may have it', async () => {
    await using one = await new TestCoordinator().start()
    using both = httpTo(one, { url: 'unix:/nowhere/muster.sock' })
    await assert.rejects(both.open('/api/v1/blobs/x'), hasCode('coordinator_unreachable'))
    using alone = httpTo(one)
    await assert.rejects(alone.open('/api/v1/blobs/x'), hasCode('not_found'))
  })

  it('asks the next when the worker has left a coordinator that hangs', async () => {
    await using frozen = await new CoordinatorProcess().start()
    await using other = await new TestCoordinator().start()
    const hash = other.addBlob(Buffer.from('content'))
    using http = httpTo(frozen, other)
    frozen.signal('SIGSTOP')
    const asked = http.open(`/api/v1/blobs/${hash}`)
    http.prefer(1)
    assert.equal((await readAll(await asked, 100)).toString(), 'content')
  })
})

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => isMusterError(error) && error.code === code
}
