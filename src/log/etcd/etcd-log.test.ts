import { after, before } from 'node:test'
import { testLog } from '../conformance.ts'
import { EtcdCluster } from '../fixtures/etcd-cluster.ts'
import { EtcdMedium } from '../fixtures/etcd-medium.ts'
import { testSharedLog } from '../shared-conformance.ts'

let cluster: EtcdCluster
before(async () => {
  cluster = await EtcdCluster.start()
})
after(() => cluster[Symbol.asyncDispose]())

testLog('EtcdLog', async () => {
  const medium = new EtcdMedium(cluster)
  return {
    open: () => medium.openDirectly(),
    corruptNewestSnapshot: async () => medium.blobs.damageNewest(),
    remove: () => medium.remove(),
  }
})

testSharedLog('EtcdLog', async () => new EtcdMedium(cluster))
