/**
 * The command that installs what a workspace needs, told from the lockfile nearest to the suite's
 * working directory, or from package.json where nothing is locked. A package manager that the worker
 * lacks is brought by npx where that is possible; without uv or poetry the suite is tried with the
 * Python that is there.
 */
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'

/** Command line for sh, to be run in `root`; undefined when nothing says what is needed. */
export async function detectSetup(root: string, cwd: string): Promise<string | undefined> {
  const folders = [cwd]
  while (folders.at(-1) !== root && folders.at(-1) !== path.dirname(folders.at(-1)!))
    folders.push(path.dirname(folders.at(-1)!))
  // A lockfile further up (a workspace's) says more than a package without one further down.
  for (const commandOf of [locked, unlocked]) {
    for (const folder of folders) {
      const command = await commandOf(folder)
      if (command === undefined) continue
      const below = path.relative(root, folder)
      return below === '' ? command : `cd ${quote(below)} && ${command}`
    }
  }
  return undefined
}

async function locked(folder: string): Promise<string | undefined> {
  const names = new Set(await readdir(folder))
  const commands = [
    await javascript(folder, names),
    await python(folder, names),
    names.has('go.sum') ? 'go mod download' : undefined,
  ]
  const command = commands.filter((one) => one !== undefined).join(' && ')
  return command === '' ? undefined : command
}

async function unlocked(folder: string): Promise<string | undefined> {
  const { dependencies, devDependencies } = await readPackage(folder)
  const needs = [dependencies, devDependencies].some(
    (one) => typeof one === 'object' && one !== null && Object.keys(one).length > 0,
  )
  return needs ? 'npm install --no-audit --no-fund --no-package-lock' : undefined
}

async function javascript(folder: string, names: ReadonlySet<string>): Promise<string | undefined> {
  if (!names.has('package.json')) return undefined
  const isNamed = await packageManager(folder)
  const choices: [string, boolean, () => Promise<string> | string][] = [
    ['npm', names.has('package-lock.json') || names.has('npm-shrinkwrap.json'), () => 'npm ci'],
    ['pnpm', names.has('pnpm-lock.yaml'), () => withNpx('pnpm', isNamed, 'install --frozen-lockfile')],
    ['yarn', names.has('yarn.lock'), () => yarn(folder, isNamed)],
    [
      'bun',
      names.has('bun.lock') || names.has('bun.lockb'),
      () => withNpx('bun', isNamed, 'install --frozen-lockfile'),
    ],
  ]
  const locked = choices.filter(([, isLocked]) => isLocked)
  const chosen = locked.find(([name]) => isNamed?.startsWith(`${name}@`)) ?? locked[0]
  return chosen?.[2]()
}

/** The package manager itself, or through npx in the version that package.json names. */
function withNpx(tool: string, named: string | undefined, words: string): string {
  const version = named?.startsWith(`${tool}@`) ? named.split('+')[0]! : tool
  return `if command -v ${tool} >/dev/null; then ${tool} ${words}; else npx --yes ${version} ${words}; fi`
}

/** What package.json says under `packageManager`, e.g. `yarn@4.9.1`. */
async function packageManager(folder: string): Promise<string | undefined> {
  const { packageManager: named } = await readPackage(folder)
  return typeof named === 'string' ? named : undefined
}

async function readPackage(folder: string): Promise<Record<string, unknown>> {
  try {
    return JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8')) as Record<string, unknown>
  } catch {
    // Not JSON: the package manager will say so, better than we could.
    return {}
  }
}

/** Yarn 2 and later have another word for it, and another format of the lockfile. */
async function yarn(folder: string, named: string | undefined): Promise<string> {
  const isClassic =
    named?.startsWith('yarn@1.') ?? !(await readFile(path.join(folder, 'yarn.lock'), 'utf8')).includes('__metadata:')
  return isClassic
    ? withNpx('yarn', named ?? 'yarn@1', 'install --frozen-lockfile')
    : `if command -v yarn >/dev/null; then yarn install --immutable; else npx --yes @yarnpkg/cli-dist${named?.startsWith('yarn@') ? `@${named.split('+')[0]!.slice('yarn@'.length)}` : ''} install --immutable; fi`
}

async function python(folder: string, names: ReadonlySet<string>): Promise<string | undefined> {
  if (names.has('uv.lock')) return ifInstalled('uv', 'sync --frozen')
  if (names.has('poetry.lock')) return ifInstalled('poetry', 'install --no-interaction')
  if (!names.has('requirements.txt')) return undefined
  // In an environment of its own: many systems refuse to have their own Python changed.
  return 'python3 -m venv .venv && .venv/bin/python -m pip install -q -r requirements.txt'
}

/** Without the tool the worker's own Python may do; if it doesn't, detection says what is missing. */
function ifInstalled(tool: string, words: string): string {
  return `if command -v ${tool} >/dev/null; then ${tool} ${words}; else echo 'muster: ${tool} is not installed on this worker; going on without it'; fi`
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
