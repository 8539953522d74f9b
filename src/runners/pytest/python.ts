/**
 * Finds the Python that runs the project's tests: the first, in the order in which a person would reach
 * for one, that has pytest installed. Virtual environments are read from disk; only a Python outside one
 * is asked, because nothing else knows where it keeps its packages.
 */
import { existsSync } from 'node:fs'
import { readFile, readdir } from 'node:fs/promises'
import path from 'node:path'
import { capture } from '../capture.ts'
import type { Project } from '../runner.ts'

export type Python = {
  readonly executable: string
  /** Of pytest, e.g. `8.4.2`; undefined when this Python doesn't have it. */
  readonly pytest: string | undefined
  /** For people. */
  readonly origin: string
}

/** The first Python with pytest; else the first Python; else undefined. */
export async function findPython(project: Project): Promise<Python | undefined> {
  let fallback: Python | undefined
  for await (const python of candidates(project)) {
    if (python.pytest !== undefined) return python
    fallback ??= python
  }
  return fallback
}

async function* candidates(project: Project): AsyncGenerator<Python> {
  const seen = new Set<string>()
  for (const [folder, origin] of await environments(project)) {
    if (seen.has(folder)) continue
    seen.add(folder)
    const python = await readEnvironment(folder, origin)
    if (python !== undefined) yield python
  }
  for (const [argv, file] of [
    [['poetry', 'env', 'info', '--path'], 'poetry.lock'],
    [['pipenv', '--venv'], 'Pipfile'],
  ] as const) {
    if (!project.entries.has(file) || findInPath(project, argv[0]) === undefined) continue
    const answer = await capture(argv, { ...project, timeoutMs: 10_000 })
    const folder = answer.stdout.trim()
    if (answer.code !== 0 || folder === '' || seen.has(folder)) continue
    const python = await readEnvironment(folder, `${argv[0]}'s environment`)
    if (python !== undefined) yield python
  }
  for (const [executable, origin] of await outside(project)) {
    if (seen.has(executable)) continue
    seen.add(executable)
    const python = await ask(project, executable, origin)
    if (python !== undefined) yield python
  }
}

/** Folders that may be virtual environments: the active one, then those of the project and the folders above it in the repository. */
async function environments(project: Project): Promise<readonly (readonly [string, string])[]> {
  const found: (readonly [string, string])[] = []
  for (const name of ['VIRTUAL_ENV', 'UV_PROJECT_ENVIRONMENT', 'CONDA_PREFIX']) {
    const folder = project.env[name]
    if (folder !== undefined && folder !== '') found.push([path.resolve(project.cwd, folder), `$${name}`])
  }
  for (let folder = project.cwd; ; folder = path.dirname(folder)) {
    for (const name of ['.venv', 'venv', 'env', '.env']) {
      const candidate = path.join(folder, name)
      if (existsSync(path.join(candidate, 'pyvenv.cfg'))) found.push([candidate, path.relative(project.cwd, candidate)])
    }
    if (existsSync(path.join(folder, '.git')) || path.dirname(folder) === folder) break
  }
  for (const tool of ['.tox', '.nox']) {
    if (!project.entries.has(tool)) continue
    const names = (await readdir(path.join(project.cwd, tool))).toSorted()
    for (const name of names) {
      const candidate = path.join(project.cwd, tool, name)
      if (existsSync(path.join(candidate, 'pyvenv.cfg'))) found.push([candidate, `${tool}/${name}`])
    }
  }
  return found
}

async function readEnvironment(folder: string, origin: string): Promise<Python | undefined> {
  const executable = ['bin/python', 'bin/python3', 'Scripts/python.exe']
    .map((name) => path.join(folder, name))
    .find((file) => existsSync(file))
  if (executable === undefined) return undefined
  for (const library of ['lib', 'lib64']) {
    const versions = await namesIn(path.join(folder, library))
    for (const version of versions.filter((name) => name.startsWith('python') || name.startsWith('pypy'))) {
      const packages = await namesIn(path.join(folder, library, version, 'site-packages'))
      const found = packages.map((name) => /^pytest-(\d[^-]*)\.(?:dist|egg)-info$/.exec(name)?.[1]).find(Boolean)
      if (found !== undefined) return { executable, pytest: found, origin }
    }
  }
  // It may see the system's packages.
  const settings = await readFile(path.join(folder, 'pyvenv.cfg'), 'utf8').catch(ignoreAbsence)
  if (settings !== undefined && /include-system-site-packages\s*=\s*true/i.test(settings)) {
    return ask({ cwd: folder, env: {} }, executable, origin)
  }
  return { executable, pytest: undefined, origin }
}

/** Pythons outside virtual environments: on PATH, the system's, and the one that the `pytest` on PATH belongs to. */
async function outside(project: Project): Promise<readonly (readonly [string, string])[]> {
  const found: (readonly [string, string])[] = []
  for (const name of ['python3', 'python']) {
    const executable = findInPath(project, name)
    if (executable !== undefined) found.push([executable, `${name} on PATH`])
  }
  if (existsSync('/usr/bin/python3')) found.push(['/usr/bin/python3', '/usr/bin/python3'])
  const script = findInPath(project, 'pytest')
  if (script !== undefined) {
    const shebang = /^#!\s*(\S*python\S*)/.exec(await readFile(script, 'latin1'))?.[1]
    if (shebang !== undefined && existsSync(shebang)) found.push([shebang, 'the Python of the pytest on PATH'])
  }
  return found
}

/** Looks at names only: importing pytest, or asking importlib for its metadata, takes several times as long. */
const question = `
import os, re, sys
version = ""
for folder in sys.path:
    # A pytest.py in the working directory must not answer.
    if version or not folder or not os.path.isdir(folder):
        continue
    for name in os.listdir(folder):
        found = re.match(r"pytest-([0-9][^-]*)(-py[0-9.]+)?[.](dist|egg)-info$", name)
        if found:
            version = found.group(1)
print(sys.executable)
print(version)
`

async function ask(
  project: Pick<Project, 'cwd' | 'env'>,
  executable: string,
  origin: string,
): Promise<Python | undefined> {
  const answer = await capture([executable, '-c', question], { cwd: project.cwd, env: project.env, timeoutMs: 20_000 })
  if (answer.code !== 0) return undefined
  // A shim (pyenv, asdf) costs time at every start: what it leads to is kept instead.
  const [real = '', version = ''] = answer.stdout.trim().split('\n')
  return { executable: real === '' ? executable : real, pytest: version === '' ? undefined : version, origin }
}

function findInPath(project: Pick<Project, 'cwd' | 'env'>, name: string): string | undefined {
  return (project.env['PATH'] ?? '')
    .split(path.delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => path.resolve(project.cwd, folder, name))
    .find((file) => existsSync(file))
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder).catch(ignoreAbsence)) ?? []
}

function ignoreAbsence(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
  throw error
}
