/** Sizes of a run's files: how long a file takes that never ran is guessed from those of its kind, and larger ones take longer. */
import { stat } from 'node:fs/promises'
import path from 'node:path'

const atOnce = 64

/** Null for what isn't a file, as a Go package isn't. */
export async function sizesOf(cwd: string, files: readonly string[]): Promise<(number | null)[]> {
  const sizes: (number | null)[] = files.map(() => null)
  let next = 0
  const look = async () => {
    for (let at = next++; at < files.length; at = next++) {
      try {
        const found = await stat(path.join(cwd, files[at]!))
        if (found.isFile()) sizes[at] = found.size
      } catch {
        // Listed by the framework under a name that is no path here: it has no size, which is an answer.
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, look))
  return sizes
}
