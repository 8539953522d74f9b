/**
 * The files that a user's paths name, out of those that mocha found. mocha adds a path of the command line to the `spec`
 * of its configuration; somebody who names a path wants that and nothing else.
 */
import { statSync } from 'node:fs'
import path from 'node:path'

export function narrow(cwd: string, files: readonly string[], paths: readonly string[]): readonly string[] {
  const sorted = [...new Set(files)].toSorted()
  if (paths.length === 0) return sorted
  const tests = paths.map((one) => matcher(cwd, one))
  return sorted.filter((file) => tests.some((matches) => matches(file)))
}

function matcher(cwd: string, one: string): (file: string) => boolean {
  const name = path.relative(cwd, path.resolve(cwd, one)).split(path.sep).join('/')
  const found = statSync(path.resolve(cwd, one), { throwIfNoEntry: false })
  if (found?.isDirectory()) return name === '' ? () => true : (file) => file.startsWith(`${name}/`)
  if (found !== undefined) return (file) => file === name
  // `test/thing` stands for test/thing.js; anything else is a pattern.
  return (file) => path.posix.matchesGlob(file, name) || file.replace(/\.[^./]+$/, '') === name
}
