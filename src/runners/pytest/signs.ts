/**
 * What gives a pytest project away, from its files alone: its configuration, a dependency, or files that
 * look like its tests. The walk for the last is shallow and bounded: it answers "is there one", not "which".
 */
import { readFile, readdir } from 'node:fs/promises'
import path from 'node:path'
import type { Detection, Project } from '../runner.ts'

export type Sign = Pick<Detection, 'reason' | 'strength'>

/** Files whose section makes them pytest's configuration; null = the file alone does. */
const configurations: readonly (readonly [string, RegExp | null])[] = [
  ['pytest.ini', null],
  ['.pytest.ini', null],
  ['pytest.toml', null],
  ['.pytest.toml', null],
  ['pyproject.toml', /^\s*\[tool\.pytest(\.ini_options)?\]/m],
  ['tox.ini', /^\s*\[pytest\]/m],
  ['setup.cfg', /^\s*\[tool:pytest\]/m],
  ['conftest.py', null],
]

const dependencies = ['pyproject.toml', 'setup.py', 'setup.cfg', 'tox.ini', 'requirements.txt', 'requirements-dev.txt']

export async function findSign(project: Project): Promise<Sign | undefined> {
  const script = project.packageJson?.scripts?.['test']
  if (script !== undefined && /\bpytest\b/.test(script))
    return { reason: `npm test runs '${script}'`, strength: 'script' }
  for (const [name, section] of configurations) {
    if (!project.entries.has(name)) continue
    const match: readonly string[] | null =
      section === null ? [''] : section.exec(await readFile(path.join(project.cwd, name), 'utf8'))
    if (match !== null) return { reason: match[0] === '' ? name : `${match[0]!.trim()} in ${name}`, strength: 'config' }
  }
  for (const name of dependencies) {
    if (!project.entries.has(name)) continue
    const text = await readFile(path.join(project.cwd, name), 'utf8')
    if (/^[^#\n]*\bpytest\b/m.test(text)) return { reason: `pytest named in ${name}`, strength: 'config' }
  }
  const file = await findTestFile(project.cwd)
  return file === undefined ? undefined : { reason: file, strength: 'files' }
}

const entriesMax = 2_000
const depthMax = 3

async function findTestFile(root: string): Promise<string | undefined> {
  let seen = 0
  let level = [root]
  for (let depth = 0; depth < depthMax && level.length > 0; depth += 1) {
    const next: string[] = []
    for (const folder of level) {
      for (const entry of await readdir(folder, { withFileTypes: true })) {
        seen += 1
        if (seen > entriesMax) return undefined
        const file = path.join(folder, entry.name)
        if (entry.isFile() && /^(test_.*|.*_test|conftest)\.py$/.test(entry.name)) return path.relative(root, file)
        if (entry.isDirectory() && !/^(\.|node_modules$|venv$|build$|dist$)/.test(entry.name)) next.push(file)
      }
    }
    level = next
  }
  return undefined
}
