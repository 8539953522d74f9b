/** `muster worker --detect`: what this machine has, without joining anybody. */
import { mkdirSync } from 'node:fs'
import { capabilities, type Offer } from '../../worker/capabilities.ts'
import { Detection } from '../../worker/detect/detect.ts'
import { machineLines } from '../machine-text.ts'
import { terminalOf } from '../reporters/terminal.ts'

export type DetectCommandOptions = Offer & { readonly dataDir: string; readonly json: boolean }

export async function detectCommand(options: DetectCommandOptions): Promise<number> {
  mkdirSync(options.dataDir, { recursive: true })
  await using detection = new Detection({ level: 'all', dataDir: options.dataDir, log: () => {} })
  const interrupted = Promise.withResolvers<'interrupted'>()
  const onSignal = (): void => interrupted.resolve('interrupted')
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  const first = await Promise.race([detection.first, interrupted.promise])
  const isSlow =
    first !== 'interrupted' &&
    Object.values(first.unavailable).some((why) => /^not (tested|measured|known) yet$/.test(why))
  if (isSlow) process.stderr.write('muster worker: asking browsers and measuring…\n')
  const detected = await Promise.race([detection.complete, interrupted.promise])
  process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  if (detected === 'interrupted') return 130
  const machine = capabilities(options, detected)
  const terminal = terminalOf(process.stdout, process.env)
  process.stdout.write(
    options.json
      ? `${JSON.stringify(machine, null, 2)}\n`
      : machineLines([], machine, terminal.columns(), terminal.paint),
  )
  return 0
}
