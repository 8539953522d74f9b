/** `muster why`: what a run or a file waits for, until when, and what would make it sooner. */
import { textWidth } from '../text-width.ts'
import type { Attempt } from '../../scheduling/ended.ts'
import type { Interval } from '../../scheduling/expected.ts'
import { spanWords } from '../../scheduling/waiting-words.ts'
import type { Wait, Why } from '../../scheduling/why.ts'
import { formatDuration } from '../../stdx/duration.ts'
import { escapedName, plainText } from '../../stdx/plain-text.ts'
import { connect } from '../connect.ts'
import { terminalOf } from '../reporters/terminal.ts'
import type { LookOptions } from './look.ts'

const columnsMax = 100
const attemptsShown = 5

/** `subject`: RUN or RUN/INDEX. `file`: a file of the run, or its number. */
export async function whyCommand(subject: string, file: string | undefined, options: LookOptions): Promise<number> {
  await using connection = await connect(options)
  const why = await connection.client.get<Why>(pathOf(subject, file))
  const columns = Math.min(columnsMax, terminalOf(process.stdout, process.env).columns())
  process.stdout.write(options.json ? `${JSON.stringify(why, null, 2)}\n` : whyText(why, columns))
  return 0
}

function pathOf(subject: string, file: string | undefined): string {
  const [, run = subject, index] = /^([^/]+)\/(\d+)$/.exec(subject) ?? []
  const number = index ?? (file !== undefined && /^\d+$/.test(file) ? file : undefined)
  const path = `/runs/${encodeURIComponent(run)}`
  if (number !== undefined) return `${path}/tasks/${number}/why`
  return file === undefined ? `${path}/why` : `${path}/why?file=${encodeURIComponent(file)}`
}

export function whyText(why: Why, columns: number): string {
  const lines: string[] = []
  const say = (name: string, text: string) => lines.push(...wrapped(name, text, columns))
  lines.push(
    ...wrapped(
      '',
      `${why.task ?? `run ${why.run}`}${why.file === undefined ? '' : ` · ${escapedName(why.file)}`} · ${why.state}`,
      columns,
    ),
  )
  if (why.waits.length !== 1 || why.task === undefined) lines.push(...wrapped('', why.words, columns))
  if (why.on) {
    const { name, run, batch, sinceMs } = why.on
    say('on', `${name}, for ${formatDuration(Math.max(0, why.nowMs - sinceMs))} (batch ${batch} of run ${run})`)
  }
  for (const wait of why.waits) sayWait(why, wait, say)
  if (why.queuePosition !== undefined)
    say('queue', `number ${why.queuePosition} of ${why.queueLength!} that wait for workers (${why.strategy!})`)
  else if (why.queueWords !== undefined) say('queue', why.queueWords)
  if (why.starts && (why.starts.toMs > why.nowMs || why.starts.outrun)) say('starts', timeWords(why.starts, why.nowMs))
  if (why.finishes) say('ends', timeWords(why.finishes, why.nowMs))
  else if (why.waits.length > 0) say('ends', 'nobody can say while this is so')
  if (why.finishes && why.restsOn !== undefined) say('', `rests on ${why.restsOn}`)
  why.sooner.forEach(({ words }, at) => say(at === 0 ? 'sooner' : '', `- ${words}`))
  const attempts = why.attempts ?? []
  for (const [at, attempt] of attempts.slice(-attemptsShown).entries())
    say(at === 0 ? 'tried' : '', attemptWords(attempt))
  if (why.endedAtMs !== undefined)
    say(
      'ended',
      `${clock(why.endedAtMs)}${why.attemptsMade === undefined ? '' : `, after ${why.attemptsMade} ${why.attemptsMade === 1 ? 'attempt' : 'attempts'}`}`,
    )
  return `${lines.join('\n')}\n`
}

function sayWait(why: Why, wait: Wait, say: (name: string, text: string) => void): void {
  const need = wait.need === '' ? '' : `: ${wait.need}`
  const files = why.task === undefined ? `${wait.tasks} ${wait.tasks === 1 ? 'file' : 'files'}${need}` : wait.need
  if (files !== '') say('waiting', files)
  const words = wait.words.length === 0 ? ['nothing is in the way: placed next'] : wait.words
  words.forEach((text, at) => say(at === 0 ? 'because' : '', `- ${text}`))
}

function attemptWords({ outcome, name, durationMs, atMs, message }: Attempt): string {
  const took = durationMs === undefined ? '' : ` after ${formatDuration(durationMs)}`
  return `${outcome}${took} on ${name}, ${clock(atMs)}${message === undefined ? '' : `: ${message}`}`
}

function timeWords(interval: Interval, nowMs: number): string {
  const { fromMs, toMs, outrun } = interval
  if (outrun) return 'not known: what runs takes longer than expected already, and there is no history of it'
  const [from, to] = [clock(fromMs), clock(toMs)]
  return `in ${spanWords(interval, nowMs)} (${from === to ? from : `${from} to ${to}`})`
}

/** This host's time of day; with the date when it is another one. */
function clock(atMs: number): string {
  const at = new Date(atMs)
  const two = (value: number) => String(value).padStart(2, '0')
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
  if (at.toDateString() === new Date().toDateString()) return time
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}`
}

const nameWidth = 9

/** Words that don't fit go on below, in line with the first. Names of workers, locks and labels in them do nothing to a terminal. */
function wrapped(name: string, said: string, columns: number): string[] {
  const text = plainText(said)
  const indent = name === '' && !text.startsWith('- ') && !text.startsWith('rests on ') ? 0 : nameWidth
  const hang = indent + (text.startsWith('- ') ? 2 : 0)
  const lines: string[] = []
  let line = name.padEnd(indent)
  for (const word of text.split(' ')) {
    const next =
      line.trimEnd() === '' || line === name.padEnd(indent) || line.trimEnd().endsWith('-')
        ? `${line}${word}`
        : `${line} ${word}`
    if (textWidth(next) > columns && line.trim() !== '' && line !== name.padEnd(indent)) {
      lines.push(line.trimEnd())
      line = `${' '.repeat(hang)}${word}`
    } else line = word === '-' ? `${line}- ` : next
  }
  lines.push(line.trimEnd())
  return lines
}
