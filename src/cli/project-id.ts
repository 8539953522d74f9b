/**
 * The name that history is kept under: the same on every checkout of a repository, on every host, so
 * that what CI measured helps a laptop. From git's own configuration file; no process is started.
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

/** `host/owner/name` of the origin, or the root's absolute path; then the directory below the root. */
export function projectId(cwd: string): string {
  const root = gitRoot(cwd)
  if (root === undefined) return cwd
  const below = relative(root, cwd).split('\\').join('/')
  const name = originOf(root) ?? root
  return below === '' ? name : `${name}:${below}`
}

export function gitRoot(cwd: string): string | undefined {
  for (let directory = cwd; ; directory = dirname(directory)) {
    if (existsSync(join(directory, '.git'))) return directory
    if (dirname(directory) === directory) return undefined
  }
}

function originOf(root: string): string | undefined {
  const config = join(gitDirectory(root), 'config')
  if (!existsSync(config)) return undefined
  let inOrigin = false
  for (const line of readFileSync(config, 'utf8').split('\n')) {
    const section = /^\s*\[(.*)\]/.exec(line)
    if (section) inOrigin = section[1]!.trim() === 'remote "origin"'
    const url = inOrigin ? /^\s*url\s*=\s*(\S+)/.exec(line)?.[1] : undefined
    if (url !== undefined) return normalise(url)
  }
  return undefined
}

/** Of a worktree or submodule `.git` is a file that leads to the real directory. */
function gitDirectory(root: string): string {
  const path = join(root, '.git')
  if (statSync(path).isDirectory()) return path
  const target = /^gitdir:\s*(.+)$/m.exec(readFileSync(path, 'utf8'))?.[1]
  if (target === undefined) return path
  const directory = resolve(root, target.trim())
  const common = join(directory, 'commondir')
  return existsSync(common) ? resolve(directory, readFileSync(common, 'utf8').trim()) : directory
}

/** One spelling for ssh, https and scp-like addresses; no credentials. */
function normalise(url: string): string {
  return url
    .replace(/^[a-z+]+:\/\//i, '')
    .replace(/^[^@/]+@/, '')
    .replace(/^([^/:]+):(?!\d)/, '$1/')
    .replace(/\/+$/, '')
    .replace(/\.git$/, '')
}
