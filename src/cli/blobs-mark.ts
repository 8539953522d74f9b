/**
 * That every coordinator of a cluster keeps its blobs in the same place. Names of places can't tell: one
 * bucket has several, and two hosts may mean different directories by one path, or one of them has not
 * mounted it. So the first coordinator leaves a blob there whose name is in the shared log, and the
 * others must find it. Without this, results would be acknowledged that no other coordinator can read.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { Blobs } from '../blobs/blobs.ts'
import type { SharedLog } from '../log/log.ts'
import { MusterError } from '../protocol/errors.ts'

/** Returns the mark's key, which must be kept. */
export async function markBlobs(log: Pick<SharedLog, 'record'>, blobs: Blobs, location: string): Promise<string> {
  const own = `blobs of a Muster cluster ${randomUUID()}\n`
  // Stored before it is named: whoever reads the name may look for it at once.
  await blobs.put(Buffer.from(own))
  const mark = await log.record('blobs', () => own)
  const key = createHash('sha256').update(mark).digest('hex')
  if (await blobs.has(key)) return key
  throw new MusterError('config_invalid', `Cannot use the blobs at ${location}: they are not those of this cluster`, {
    hint:
      'Name the same place for every coordinator; is it mounted here? Only when it is lost for good: ' +
      "with every coordinator stopped, remove the key 'record/blobs' below the cluster's prefix from etcd.",
  })
}
