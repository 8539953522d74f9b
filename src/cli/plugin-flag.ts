/** `--plugin`: a file, or a package. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Wanted } from '../plugins/load.ts'

/** A path leads from where the command was given, as in any argument; what is none there is a package. */
export function fromHere(plugin: string): Wanted {
  return { plugin: existsSync(plugin) ? resolve(plugin) : plugin, from: resolve('command-line'), namedBy: '--plugin' }
}
