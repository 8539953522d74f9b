/** `muster dead-letters`: files that got no verdict and will not be tried again; list, show, replay, discard. */
import { errorCatalogue, MusterError, type ErrorCode } from '../../protocol/errors.ts'
import type { DeadLetterView, LettersPage, ReplayResult } from '../../protocol/failures.ts'
import { escapedName } from '../../stdx/plain-text.ts'
import { connect } from '../connect.ts'
import { ago, table } from '../table.ts'
import type { LookOptions } from './look.ts'

export type ListOptions = LookOptions & {
  readonly run?: string
  readonly project?: string
  readonly suite?: string
  readonly cause?: string
  readonly limit: number
}
export type ChooseOptions = LookOptions & { readonly run?: string; readonly all?: boolean }

export async function listLettersCommand(options: ListOptions): Promise<number> {
  const query = new URLSearchParams({ limit: String(options.limit) })
  for (const key of ['run', 'project', 'suite', 'cause'] as const) {
    const value = options[key]
    if (value !== undefined) query.set(key, value)
  }
  await using connection = await connect(options)
  const page = await connection.client.get<LettersPage>(`/dead-letters?${query.toString()}`)
  if (options.json) {
    process.stdout.write(`${JSON.stringify(page, null, 2)}\n`)
    return 0
  }
  if (page.letters.length === 0) {
    process.stdout.write(page.total === 0 ? 'no dead letters\n' : `none of the ${page.total} dead letters match\n`)
    return 0
  }
  process.stdout.write(
    table(
      ['LETTER', 'STATE', 'CAUSE', 'TRIES', 'WHEN', 'RUN', 'SUITE', 'FILE', 'WHY'],
      page.letters.map((letter) => [
        letter.letter,
        stateWords(letter),
        letter.cause,
        letter.attemptsMade,
        ago(letter.atMs),
        letter.run,
        letter.suite,
        escapedName(letter.file),
        firstLine(letter.why),
      ]),
    ),
  )
  if (page.next !== undefined) process.stderr.write(`the oldest ${page.letters.length} of ${page.total}; see --limit\n`)
  return 0
}

export async function showLetterCommand(id: string, options: LookOptions): Promise<number> {
  await using connection = await connect(options)
  const letter = await connection.client.get<DeadLetterView>(`/dead-letters/${encodeURIComponent(id)}`)
  process.stdout.write(options.json ? `${JSON.stringify(letter, null, 2)}\n` : `${letterLines(letter).join('\n')}\n`)
  return 0
}

export async function replayLettersCommand(
  ids: readonly string[],
  options: ChooseOptions & { readonly again?: boolean },
): Promise<number> {
  const body = { ...selection('replay', ids, options), ...(options.again ? { again: true } : {}) }
  await using connection = await connect(options)
  const { results } = await connection.client.post<{ results: ReplayResult[] }>('/dead-letters/replay', body)
  const [first] = results
  if (results.length === 1 && first && !first.ok) throw refusal(first)
  if (options.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`)
  let code = 0
  for (const result of results) {
    if (!result.ok) {
      const error = refusal(result)
      process.stderr.write(`muster: ${error.message}\n${error.hint === undefined ? '' : `  ${error.hint}\n`}`)
      code = error.exitCode
    } else if (!options.json) {
      const count = result.letters.length
      process.stdout.write(`${result.run} replays ${count === 1 ? result.letters[0] : `${count} dead letters`}\n`)
    }
  }
  return code
}

export async function discardLettersCommand(
  ids: readonly string[],
  options: ChooseOptions & { readonly why?: string },
): Promise<number> {
  const body = { ...selection('discard', ids, options), ...(options.why === undefined ? {} : { why: options.why }) }
  await using connection = await connect(options)
  const { discarded } = await connection.client.post<{ discarded: string[] }>('/dead-letters/discard', body)
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ discarded }, null, 2)}\n`
      : `discarded ${discarded.length === 1 ? discarded[0] : `${discarded.length} dead letters`}\n`,
  )
  return 0
}

function selection(verb: string, ids: readonly string[], { run, all }: ChooseOptions) {
  if ([ids.length > 0, run !== undefined, all === true].filter(Boolean).length !== 1) {
    throw new MusterError('usage', `muster dead-letters ${verb}: expected ids, --run or --all, and one of them only`, {
      hint: "'muster dead-letters list' shows the ids.",
    })
  }
  if (ids.length > 0) return { letters: ids }
  return run === undefined ? { all: true } : { run }
}

function refusal({ code, detail, hint }: Extract<ReplayResult, { ok: false }>): MusterError {
  const known = code in errorCatalogue ? (code as ErrorCode) : 'conflict'
  return new MusterError(known, detail, hint === undefined ? {} : { hint })
}

function stateWords({ replay }: DeadLetterView): string {
  return replay ? `replayed ${replay.run} ${replay.outcome ?? 'now'}` : 'waiting'
}

function letterLines(letter: DeadLetterView): string[] {
  const lines = [
    `${letter.letter} · ${escapedName(letter.file)} · ${letter.suite} (${letter.framework}) · ${stateWords(letter)}`,
    `${letter.cause}: ${letter.why}`,
    `task ${letter.task} of project ${letter.project}, ${ago(letter.atMs)}`,
  ]
  if (letter.replays > 0) lines.push(`replayed ${letter.replays} times before, without a verdict`)
  if (letter.attempts.length === 0) lines.push('it was never tried')
  else lines.push(`${letter.attemptsMade} ${letter.attemptsMade === 1 ? 'try' : 'tries'}, the newest last:`)
  for (const attempt of letter.attempts) {
    const how = attempt.signal ?? (attempt.exitCode === null ? '' : `exit code ${attempt.exitCode}`)
    const where = attempt.host === undefined ? attempt.worker : `${attempt.worker} on ${attempt.host}`
    const words = [attempt.reason, how].filter((one) => one !== '').join(', ')
    lines.push(`  ${attempt.batch}  ${where}  ${words}  ${ago(attempt.atMs)}`)
    if (attempt.message !== undefined && attempt.message !== '') lines.push(`      ${firstLine(attempt.message)}`)
  }
  lines.push(
    letter.replay
      ? `'muster show ${letter.replay.run}' says what became of the replay`
      : `'muster dead-letters replay ${letter.letter}' runs it again, 'muster logs ${letter.run}' shows what was printed`,
  )
  return lines
}

function firstLine(text: string): string {
  return text.split('\n')[0]!
}
