/**
 * Which files make up a workspace: as git sees it where there is git, else by walking the directory
 * and honouring .gitignore files. Directories of installed dependencies never belong to it.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile, realpath } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import ignore, { type Ignore } from 'ignore'

const run = promisify(execFile)
const gitOutputMax = 512 * 1024 * 1024
const neverTaken = new Set(['node_modules', '.git'])

export type WorkspaceListing = {
  /** Absolute. */
  readonly root: string
  /** Relative to the root, POSIX, sorted, unique. Some may be deleted. */
  readonly paths: readonly string[]
  /** Where the repository comes from; undefined when it has no remote or there is no repository. */
  readonly remote: string | undefined
}

export async function listWorkspace(cwd: string): Promise<WorkspaceListing> {
  const root = await git(cwd, ['rev-parse', '--show-toplevel']).then(
    (text) => realpath(text.trimEnd()),
    // No git, or not a repository (also one that belongs to somebody else).
    () => undefined,
  )
  if (root !== undefined) {
    const paths = await gitFiles(root)
    const below = path.relative(root, cwd)
    // A directory that its repository ignores is a workspace of its own.
    if (below === '' || paths.some((name) => name.startsWith(`${below}/`))) {
      const remote = await git(root, ['config', '--get', 'remote.origin.url']).then(
        (text) => text.trim(),
        () => undefined,
      )
      return { root, paths: unique(paths), remote }
    }
  }
  const paths: string[] = []
  await walk(cwd, '', [], paths)
  return { root: cwd, paths: unique(paths), remote: undefined }
}

async function git(cwd: string, args: readonly string[]): Promise<string> {
  return (await run('git', ['-C', cwd, ...args], { maxBuffer: gitOutputMax })).stdout
}

async function gitFiles(root: string): Promise<string[]> {
  const listed = zeroSeparated(await git(root, ['ls-files', '-co', '--exclude-standard', '-z']))
  const submodules = listed.includes('.gitmodules') ? await submodulePaths(root) : new Set<string>()
  const files: string[] = []
  for (const name of listed) {
    if (name.includes('node_modules') && name.split('/').includes('node_modules')) continue
    // A submodule is listed as its directory, a repository that just lies in this one with a slash at its end.
    if (!name.endsWith('/') && !submodules.has(name)) files.push(name)
    else for (const inner of await gitFiles(path.join(root, name))) files.push(path.posix.join(name, inner))
  }
  return files
}

/** Those that are checked out. */
async function submodulePaths(root: string): Promise<Set<string>> {
  const links = zeroSeparated(await git(root, ['ls-files', '-s', '-z'])).filter((line) => line.startsWith('160000 '))
  const paths = links.map((line) => line.slice(line.indexOf('\t') + 1))
  return new Set(paths.filter((name) => existsSync(path.join(root, name, '.git'))))
}

function zeroSeparated(text: string): string[] {
  return text.split('\0').filter((part) => part !== '')
}

type Rules = { readonly folder: string; readonly rules: Ignore }

async function walk(root: string, folder: string, above: readonly Rules[], paths: string[]): Promise<void> {
  const entries = await readdir(path.join(root, folder), { withFileTypes: true })
  const names = new Set(entries.map((entry) => entry.name))
  // A Python virtual environment: full of absolute paths, worth nothing elsewhere.
  if (names.has('pyvenv.cfg') && folder !== '') return
  const rules = names.has('.gitignore')
    ? [...above, { folder, rules: ignore().add(await readFile(path.join(root, folder, '.gitignore'), 'utf8')) }]
    : above
  for (const entry of entries) {
    if (neverTaken.has(entry.name)) continue
    const name = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (isIgnored(name, entry.isDirectory(), rules)) continue
    if (entry.isDirectory()) await walk(root, name, rules, paths)
    else paths.push(name)
  }
}

/** The innermost .gitignore that has an opinion decides. */
function isIgnored(name: string, isDirectory: boolean, rules: readonly Rules[]): boolean {
  for (const { folder, rules: own } of rules.toReversed()) {
    const relative = folder === '' ? name : name.slice(folder.length + 1)
    const { ignored, unignored } = own.test(isDirectory ? `${relative}/` : relative)
    if (ignored || unignored) return ignored
  }
  return false
}

function unique(paths: readonly string[]): string[] {
  return [...new Set(paths)].sort()
}
