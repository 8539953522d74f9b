/** System programs: run to their end, and an error that says what they said. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)
const withinMs = 20_000

export async function command(program: string, ...args: readonly string[]): Promise<string> {
  try {
    return (await run(program, [...args], { timeout: withinMs, encoding: 'utf8' })).stdout
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string }
    throw new Error(`${program} ${args.join(' ')}: ${stderr.trim() || message}`, { cause: error })
  }
}

/** For what may be gone already. */
export async function tryCommand(program: string, ...args: readonly string[]): Promise<string | undefined> {
  return command(program, ...args).catch(() => undefined)
}
