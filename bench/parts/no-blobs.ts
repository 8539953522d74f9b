/** For a log that is only watched: nobody makes snapshots through it. */
import type { SnapshotBlobs } from '../../src/log/etcd/snapshots.ts'

export class MemorySnapshotBlobs implements SnapshotBlobs {
  put(): Promise<string> {
    return Promise.reject(new Error('this log is only watched'))
  }
  get(): Promise<undefined> {
    return Promise.resolve(undefined)
  }
  remove(): Promise<void> {
    return Promise.resolve()
  }
}
