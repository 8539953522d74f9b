/** The name of a log that lies in a directory. Positions mean something only within one log, so history must know which it is fed from. */
import { randomUUID } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Made when it is asked for first; `directory`: of the coordinator. */
export async function logName(directory: string): Promise<string> {
  const path = join(directory, 'log', 'name')
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    const name = randomUUID()
    await writeFile(`${path}.new`, name, { mode: 0o600 })
    await rename(`${path}.new`, path)
    return name
  }
}
