import { after, before } from 'node:test'
import { createHash } from 'node:crypto'
import { testLog } from '../conformance.ts'
import { EtcdCluster } from '../fixtures/etcd-cluster.ts'
import { openEtcdLog } from './etcd-log.ts'
import { parseEtcdUrl } from './url.ts'

let cluster: EtcdCluster
before(async () => {
  cluster = await EtcdCluster.start()
})
after(() => cluster[Symbol.asyncDispose]())

let media = 0

testLog('EtcdLog', async () => {
  media += 1
  const prefix = `/test${media}`
  const stored = new Map<string, Uint8Array>()
  let newest = ''
  const blobs = {
    put: async (bytes: Uint8Array) => {
      newest = createHash('sha256').update(bytes).digest('hex')
      stored.set(newest, bytes.slice())
      return newest
    },
    get: async (key: string) => stored.get(key),
    remove: async (key: string) => void stored.delete(key),
  }
  return {
    open: () =>
      openEtcdLog({ address: parseEtcdUrl(cluster.url(prefix)), blobs, appendTimeoutMs: 5000, onWarning: () => {} }),
    corruptNewestSnapshot: async () => {
      const damaged = newest
      blobs.get = async (key) => {
        if (key === damaged) throw new Error('damaged')
        return stored.get(key)
      }
    },
    remove: async () => {},
  }
})
