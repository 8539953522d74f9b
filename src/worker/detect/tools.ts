/**
 * Which tools are on PATH, and their versions. Versions cost a process each, so they are remembered by the executable's path, size and time; at the first start the
 * worker doesn't wait for slow ones: they are `unknown` until they have answered.
 */
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { ask, EndedBadly } from './ask.ts'
import type { Host } from './probe.ts'
import type { Remembered } from './remembered.ts'

type Tool = { readonly names: readonly string[]; readonly args?: readonly string[] }

const tools: Readonly<Record<string, Tool>> = {
  node: { names: ['node'] },
  python3: { names: ['python3'] },
  go: { names: ['go'], args: ['version'] },
  git: { names: ['git'] },
  java: { names: ['java'], args: ['-version'] },
  docker: { names: ['docker'] },
  podman: { names: ['podman'] },
  gcc: { names: ['gcc'] },
  clang: { names: ['clang'] },
  cmake: { names: ['cmake'] },
  cargo: { names: ['cargo'] },
  deno: { names: ['deno'] },
  bun: { names: ['bun'] },
  ruby: { names: ['ruby'] },
  php: { names: ['php'] },
  dotnet: { names: ['dotnet'] },
  nvcc: { names: ['nvcc'] },
  adb: { names: ['adb'] },
}

/** As far as expressions can compare it: of git's `2.45.1.windows.1` the numbers. */
const versionIn = /\d+(\.\d+)+((alpha|beta|dev|pre|rc|a|b)\d*|p\d+|-\w[\w.-]*|_\d\w*)?/

export type FoundTools = {
  /** `unknown` until it has answered, or when it did not; without those that failed. */
  readonly versions: Record<string, string>
  readonly files: Record<string, string>
  readonly unavailable: Record<string, string>
}

export function noTools(): FoundTools {
  return { versions: {}, files: {}, unavailable: {} }
}

/** Fills in `found` as it goes; `changed` after each. `atOnce`: processes at a time, since a start should not be felt by what runs beside it. */
export async function findTools(
  host: Host,
  remembered: Remembered,
  found: FoundTools,
  atOnce: number,
  changed: () => void,
): Promise<void> {
  const toAsk: { readonly tool: string; readonly file: string; readonly print: string }[] = []
  const searchPath = await SearchPath.read(host.env['PATH'])
  for (const [tool, { names }] of Object.entries(tools)) {
    const on = await searchPath.find(names)
    if (on === undefined) continue
    found.files[tool] = on.file
    const known = remembered.get(`tool ${on.file}`, on.print)
    found.versions[tool] = typeof known === 'string' ? known : 'unknown'
    if (typeof known !== 'string') toAsk.push({ tool, ...on })
  }
  changed()
  const askNext = async (): Promise<void> => {
    for (let next = toAsk.shift(); next !== undefined; next = toAsk.shift()) {
      const { tool, file, print } = next
      try {
        const text = await ask(file, tools[tool]!.args ?? ['--version'], {
          timeoutMs: host.askMs,
          env: host.env,
          signal: host.signal,
          stderrToo: true,
        })
        const version = versionIn.exec(text)?.[0]
        if (version === undefined) throw new Error(`${path.basename(file)} printed no version`)
        found.versions[tool] = version
        remembered.set(`tool ${file}`, print, version)
        changed()
      } catch (error) {
        found.unavailable[`tool.${tool}`] = (error as Error).message
        // A stub that only says how to install it, or a launcher with nothing behind it: tests could not use it either.
        if (error instanceof EndedBadly) delete found.versions[tool]
        changed()
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, askNext))
}

/** The folders of PATH, each read once: looking for every tool in every folder would be hundreds of questions. */
class SearchPath {
  readonly #folders: readonly { readonly folder: string; readonly names: ReadonlySet<string> }[]

  private constructor(folders: readonly { readonly folder: string; readonly names: ReadonlySet<string> }[]) {
    this.#folders = folders
  }

  static async read(searched: string | undefined): Promise<SearchPath> {
    const folders = (searched ?? '').split(path.delimiter).filter((folder) => path.isAbsolute(folder))
    return new SearchPath(
      await Promise.all(
        folders.map(async (folder) => ({ folder, names: new Set(await readdir(folder).catch(() => [])) })),
      ),
    )
  }

  /** The first of the names that is there; `print` changes when its file does. */
  async find(names: readonly string[]): Promise<{ file: string; print: string } | undefined> {
    for (const name of names) {
      for (const one of this.#folders) {
        if (!one.names.has(name)) continue
        const file = path.join(one.folder, name)
        const print = await printOf(file)
        // Not resolved to its real path: version managers put shims here that look at their own name.
        if (print !== undefined) return { file, print }
      }
    }
    return undefined
  }
}

/** Of an executable file; undefined when there is none. */
export async function printOf(file: string): Promise<string | undefined> {
  try {
    const found = await stat(file)
    // A folder of that name may be entered, which is the same permission.
    return (found.mode & 0o111) === 0 || !found.isFile() ? undefined : `${found.size}:${found.mtimeMs}`
  } catch {
    // Not there.
    return undefined
  }
}
