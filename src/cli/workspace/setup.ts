/**
 * The command that installs what a workspace needs, told from the lockfile nearest to the suite's
 * working directory. No lockfile, no command: guessing would install something else every time.
 */
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'

/** Command line for sh, to be run in `root`; undefined when nothing is locked. */
export async function detectSetup(root: string, cwd: string): Promise<string | undefined> {
  for (let folder = cwd; ; folder = path.dirname(folder)) {
    const names = new Set(await readdir(folder))
    const commands = [
      await javascript(folder, names),
      await python(folder, names),
      names.has('go.sum') ? 'go mod download' : undefined,
    ]
    const command = commands.filter((one) => one !== undefined).join(' && ')
    if (command !== '') {
      const below = path.relative(root, folder)
      return below === '' ? command : `cd ${quote(below)} && ${command}`
    }
    if (folder === root || folder === path.dirname(folder)) return undefined
  }
}

async function javascript(folder: string, names: ReadonlySet<string>): Promise<string | undefined> {
  if (!names.has('package.json')) return undefined
  const isNamed = await packageManager(folder)
  const choices: [string, boolean, () => Promise<string> | string][] = [
    ['npm', names.has('package-lock.json') || names.has('npm-shrinkwrap.json'), () => 'npm ci'],
    ['pnpm', names.has('pnpm-lock.yaml'), () => 'pnpm install --frozen-lockfile'],
    ['yarn', names.has('yarn.lock'), () => yarn(folder, isNamed)],
    ['bun', names.has('bun.lock') || names.has('bun.lockb'), () => 'bun install --frozen-lockfile'],
  ]
  const locked = choices.filter(([, isLocked]) => isLocked)
  const chosen = locked.find(([name]) => isNamed?.startsWith(`${name}@`)) ?? locked[0]
  return chosen?.[2]()
}

/** What package.json says under `packageManager`, e.g. `yarn@4.9.1`. */
async function packageManager(folder: string): Promise<string | undefined> {
  try {
    const { packageManager: named } = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8')) as {
      packageManager?: unknown
    }
    return typeof named === 'string' ? named : undefined
  } catch {
    // Not JSON: the package manager will say so, better than we could.
    return undefined
  }
}

/** Yarn 2 and later have another word for it, and another format of the lockfile. */
async function yarn(folder: string, named: string | undefined): Promise<string> {
  const isClassic =
    named?.startsWith('yarn@1.') ?? !(await readFile(path.join(folder, 'yarn.lock'), 'utf8')).includes('__metadata:')
  return isClassic ? 'yarn install --frozen-lockfile' : 'yarn install --immutable'
}

async function python(folder: string, names: ReadonlySet<string>): Promise<string | undefined> {
  if (names.has('uv.lock')) return 'uv sync --frozen'
  if (names.has('poetry.lock')) return 'poetry install --no-interaction'
  if (!names.has('requirements.txt')) return undefined
  // In an environment of its own: many systems refuse to have their own Python changed.
  return 'python3 -m venv .venv && .venv/bin/python -m pip install -q -r requirements.txt'
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
