/** A real project in a temporary folder, written out in the test that uses it. */
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'

export type InlineProject = AsyncDisposable & { readonly cwd: string }

/** `files`: content by POSIX path. Removed when the scope of its `await using` ends. */
export async function inlineProject(files: Readonly<Record<string, string>>): Promise<InlineProject> {
  const cwd = await realpath(await mkdtemp(path.join(tmpdir(), 'muster-project-')))
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(cwd, name)
    await mkdir(path.dirname(file), { recursive: true })
    await writeFile(file, content)
  }
  return { cwd, [Symbol.asyncDispose]: () => rm(cwd, { recursive: true, force: true }) }
}
