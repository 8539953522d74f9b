/**
 * The set-up command of a workspace (`npm ci`, `pip install …`): run once for each content of the
 * lockfiles, platform and command, and remembered only when it succeeded.
 */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { MusterError } from '../protocol/errors.ts'
import type { Manifest } from '../protocol/worker-messages.ts'
import type { GuardedExit } from './guarded-process.ts'
import { lastLines } from './output-capture.ts'

const lockfiles = new Set(
  (
    'package-lock.json npm-shrinkwrap.json pnpm-lock.yaml yarn.lock bun.lock bun.lockb uv.lock poetry.lock pdm.lock Pipfile.lock ' +
    'requirements.txt go.sum Cargo.lock Gemfile.lock composer.lock'
  ).split(' '),
)
/** Where nothing is locked, what the packages ask for decides. */
const declarations = new Set(['package.json', 'pyproject.toml', 'setup.py', 'setup.cfg', 'go.mod'])

export type SetupRequest = {
  readonly command: string
  readonly manifest: Manifest
  readonly root: string
  readonly stateFile: string
  readonly output: (text: string) => void
  readonly run: (argv: readonly string[], root: string, output: (chunk: Buffer) => void) => Promise<GuardedExit>
}

/** Resolves to whether the command was run. Throws MusterError workspace_invalid with the end of its output when it fails. */
export async function setUpWorkspace(request: SetupRequest): Promise<boolean> {
  const { command, root, stateFile } = request
  const key = setupKey(command, request.manifest)
  if (readState(stateFile) === key) return false
  // While it runs, and after it failed, what is there is of no known state.
  writeFileSync(stateFile, '')
  request.output(`muster: setting up the workspace: ${command}\n`)
  let tail = Buffer.alloc(0)
  const exit = await request.run(['sh', '-c', command], root, (chunk) => {
    tail = Buffer.concat([tail, chunk]).subarray(-16 * 1024)
    request.output(chunk.toString('utf8'))
  })
  if (exit.code !== 0) {
    const how = exit.signal === null ? `exited with code ${exit.code}` : `was ended by ${exit.signal}`
    throw new MusterError('workspace_invalid', `The set-up command '${command}' ${how}:\n${lastLines(tail, 20)}`)
  }
  writeFileSync(stateFile, key)
  return true
}

export function setupKey(command: string, manifest: Manifest): string {
  const named = (names: ReadonlySet<string>): string[] =>
    manifest.entries.flatMap((entry) =>
      entry.type === 'file' && names.has(entry.path.slice(entry.path.lastIndexOf('/') + 1))
        ? [`${entry.path} ${entry.hash}`]
        : [],
    )
  const locked = named(lockfiles)
  const inputs = [
    command,
    process.platform,
    process.arch,
    ...(locked.length > 0 ? locked : named(declarations)).toSorted(),
  ]
  return createHash('sha256').update(inputs.join('\n')).digest('hex')
}

function readState(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    // Never set up.
    return undefined
  }
}
