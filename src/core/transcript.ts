/**
 * Histories as text, for tests that a reviewer reads as behaviour: inputs as short commands, and what
 * the core made of them, one event a line. Only what a reader needs of an event is shown.
 *
 * Commands: `submit R a b c retries=1`, `join W cpus=2`, `assign R W 0 1`, `start B 0`,
 * `report B 0:passed 1:failed`, `end B completed`, `leave W`, `cancel R`, `pause R`, `resume R`,
 * `extend R d`, `seal R`, `drain W`, `abandon R`, `format 2`, `replay R2 d1 d2 again=yes`, `discard d1`, `prune`,
 * Needs and dependencies: see transcript-needs.ts. `recycled W 1`, `wait 500` (milliseconds). A retry policy: `retry=lost,max:5,where:other-worker;failed,backoffMs:100`.
 */
import { advance } from './advance.ts'
import type { RetryPolicy, RunSpec } from './entities.ts'
import type { Event, Recovery, TaskRequeued } from './events.ts'
import { Refused, type Input } from './input.ts'
import { accounted, type State } from './state.ts'
import { grantGiven, kindsOf, needsOf, offersOf, showGrant } from './transcript-needs.ts'

export const plainSpec: RunSpec = {
  framework: 'none',
  frameworkVersion: '1',
  suite: 'unit',
  project: 'p',
  cwd: '/p',
  workspace: { type: 'none' },
  paths: [],
  args: [],
  complete: true,
  context: '',
  retries: 0,
  taskTimeoutMs: 1000,
  maxFailures: 0,
  priority: 0,
  labels: {},
  startupMs: 0,
  open: false,
  noWorkerTimeoutMs: 1000,
}

/** Runs the commands, a millisecond apart, and returns the transcript. */
export function transcript(state: State, script: string): string {
  const lines: string[] = []
  let nowMs = state.atMs
  for (const line of script.split('\n')) {
    const command = line.trim()
    if (command === '') continue
    nowMs += 1
    lines.push(`> ${command}`)
    if (command.startsWith('wait ')) {
      nowMs += Number(command.slice(5))
      continue
    }
    try {
      for (const event of advance(state, parse(state, command), nowMs)) lines.push(`  ${show(event)}`)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      lines.push(`  refused (${error.code}): ${error.message}`)
    }
  }
  for (const run of state.runs.values()) {
    lines.push(
      `= ${run.id} ${run.state}${run.verdict === undefined ? '' : ` ${run.verdict}`} planned ${run.tasks.length} accounted ${accounted(run)}`,
    )
  }
  return lines.join('\n')
}

function parse(state: State, command: string): Input {
  const [verb, ...words] = command.split(/\s+/)
  const options = Object.fromEntries(
    words.filter((word) => word.includes('=')).map((word) => word.split('=') as [string, string]),
  )
  const [first = '', ...rest] = words.filter((word) => !word.includes('='))
  const who = 'client:ann'
  const token = options['token'] === undefined ? (state.batches.get(first)?.token ?? 0) : Number(options['token'])
  const worker = options['worker'] ?? state.batches.get(first)?.worker ?? 'W'
  switch (verb) {
    case 'submit': {
      const numbers = Object.fromEntries(
        ['retries', 'maxFailures', 'priority'].flatMap((key) => (options[key] ? [[key, Number(options[key])]] : [])),
      )
      const retry = options['retry'] === undefined ? {} : { retry: retryPolicy(options['retry']) }
      const spec = { ...plainSpec, ...numbers, ...retry, ...needsOf(options), open: options['open'] === 'yes' }
      return {
        type: 'submit',
        run: first,
        who,
        ...(options['key'] ? { key: options['key'] } : {}),
        spec,
        files: rest,
        estimates: rest.map(() => null),
        ...kindsOf(options),
      }
    }
    case 'extend':
      return { type: 'extend', run: first, who, files: rest, estimates: rest.map(() => null) }
    case 'join': {
      const capabilities = {
        os: 'linux',
        arch: 'x64',
        cpus: Number(options['cpus'] ?? 1),
        memoryBytes: 1,
        host: options['host'] ?? first,
        labels: {},
        tools: {},
        ...offersOf(options),
      }
      return { type: 'join', worker: first, name: first, version: '1', capabilities, draining: false }
    }
    case 'assign':
      return {
        type: 'assign',
        run: first,
        worker: rest[0]!,
        tasks: rest.slice(1).map(Number),
        cpus: Number(options['cpus'] ?? 1),
        ...grantGiven(options),
        why: 'test',
      }
    case 'start':
      return { type: 'start', worker, batch: first, token, tasks: rest.map(Number) }
    case 'report':
      return {
        type: 'report',
        worker,
        batch: first,
        token,
        reports: rest.map((text) => {
          const [task, outcome] = text.split(':') as [string, 'passed' | 'failed' | 'skipped']
          const failed = outcome === 'failed' ? 1 : 0
          return { task: Number(task), outcome, durationMs: 5, counts: [1 - failed, failed, 0, 0] as const }
        }),
      }
    case 'end': {
      const [reason, ...interrupted] = rest as [
        'completed' | 'crashed' | 'timed-out' | 'cancelled' | 'failed-to-start',
        ...string[],
      ]
      const exitCode = options['exit'] === undefined ? (reason === 'completed' ? 0 : 1) : Number(options['exit'])
      return {
        type: 'end',
        worker,
        batch: first,
        token,
        reason,
        exitCode: options['signal'] === undefined ? exitCode : null,
        signal: options['signal'] ?? null,
        startupMs: 1,
        wallMs: 10,
        interrupted: interrupted.map(Number),
        timedOut: reason === 'timed-out' ? interrupted.map(Number) : [],
        errors: options['error'] === undefined ? [] : [options['error']],
        ...(options['cpu'] === undefined ? {} : { usage: { cpuMs: Number(options['cpu']), memoryBytesMax: 1000 } }),
      }
    }
    case 'leave':
      return { type: 'leave', worker: first, why: 'lease over' }
    case 'drain':
      return { type: 'drain', worker: first, who, why: 'asked' }
    case 'cancel':
      return {
        type: 'cancel',
        run: first,
        who,
        why: 'asked',
        drain: false,
        ...(options['version'] ? { version: Number(options['version']) } : {}),
      }
    case 'pause':
      return { type: 'pause', run: first, who, why: 'asked' }
    case 'resume':
    case 'seal':
      return { type: verb, run: first, who }
    case 'format':
      return { type: 'raise-format', format: Number(first) }
    case 'replay':
      return {
        type: 'replay',
        run: first,
        letters: rest,
        who,
        again: options['again'] === 'yes',
        context: '',
        estimates: rest.map(() => null),
        startupMs: 0,
      }
    case 'recycled':
      return { type: 'recycled', worker: first, id: Number(rest[0]) }
    case 'discard':
      return { type: 'discard', letters: [first, ...rest], who, why: 'asked' }
    case 'prune':
      return { type: 'prune' }
    case 'tick':
      return { type: 'tick' }
    case 'probe':
      return { type: 'probe', scope: first, why: 'nobody else is there' }
    case 'observe':
      return {
        type: 'observe',
        scope: first,
        ok: Number(options['ok'] ?? 0),
        failed: Number(options['failed'] ?? 0),
        why: 'no answer',
      }
    case 'open':
      return { type: 'open-breaker', scope: first, who, why: 'asked' }
    case 'reset':
      return { type: 'reset-breakers', ...(first === 'all' ? {} : { scopes: [first, ...rest] }), who, why: 'asked' }
    case 'abandon':
      return { type: 'abandon', run: first, why: 'no worker fits' }
    default:
      throw new Error(`not a command: ${command}`)
  }
}

function retryPolicy(text: string): RetryPolicy {
  const rules = text.split(';').map((rule) => {
    const [cause, ...parts] = rule.split(',')
    const values = parts.map((part) => {
      const [key, value] = part.split(':')
      return [key, key === 'where' ? value : Number(value)]
    })
    return [cause, { jitter: 0, ...Object.fromEntries(values) }]
  })
  return Object.fromEntries(rules)
}

function showRequeued(event: TaskRequeued): string {
  const { avoid, on, notBeforeMs, level, batchMax } = event
  const avoided = [...(avoid?.workers ?? []), ...(avoid?.hosts ?? []), ...(avoid?.classes ?? [])]
  const parts = [
    `task.requeued ${event.run}[${event.tasks.join(' ')}] ${event.cause}`,
    ...(batchMax > 0 ? [`batchMax ${batchMax}`] : []),
    ...(level === undefined ? [] : [level]),
    ...(notBeforeMs === undefined ? [] : [`at ${notBeforeMs}`]),
    ...(avoided.length > 0 ? [`not on ${avoided.join(', ')}`] : []),
    ...(on === undefined ? [] : [`on ${on.worker}`]),
  ]
  return `${parts.join(' ')}: ${event.why}`
}

function showRecovery({ kind, level, outcome, tasks, wallMs }: Recovery): string {
  return `, ${level} ${outcome} for ${kind} [${tasks.join(' ')}] ${wallMs} ms`
}

function show(event: Event): string {
  switch (event.type) {
    case 'run.submitted':
      return `run.submitted ${event.run} ${event.files.length} tasks`
    case 'run.extended':
      return `run.extended ${event.run} ${event.files.length} tasks`
    case 'run.finished':
      return `run.finished ${event.run} ${event.verdict}: ${event.why}`
    case 'run.cancelled':
      return `run.cancelled ${event.run} by ${event.who}: ${event.why}`
    case 'batch.assigned':
      return `batch.assigned ${event.batch} ${event.run}[${event.tasks.join(' ')}] to ${event.worker} token ${event.token}${showGrant(event.grant)}`
    case 'batch.ended':
      return `batch.ended ${event.batch} ${event.reason}${(event.recoveries ?? []).map(showRecovery).join('')}`
    case 'task.started':
      return `task.started ${event.run}[${event.tasks.join(' ')}]`
    case 'task.reported':
      return `task.reported ${event.reports.map((report) => `${report.task}:${report.outcome}`).join(' ')}`
    case 'task.requeued':
      return showRequeued(event)
    case 'task.unblocked':
      return `task.unblocked ${event.run}[${event.tasks.join(' ')}]`
    case 'task.ended':
      return `task.ended ${event.run}[${event.tasks.join(' ')}] ${event.state}: ${event.why}`
    case 'worker.joined':
      return `worker.joined ${event.worker} ${event.capabilities.cpus} CPUs`
    case 'worker.recycling':
      return `worker.recycling ${event.worker} ${event.id} until ${event.untilMs}: ${event.why}`
    case 'worker.recycled':
      return `worker.recycled ${event.worker} ${event.id}`
    case 'worker.drained':
    case 'worker.left':
      return `${event.type} ${event.worker}: ${event.why}`
    case 'dead-letter.added': {
      const letters = event.letters.map(
        ({ letter, task, file, replays }) =>
          `${letter}=${task}:${file}${replays === undefined ? '' : ` after ${replays} replays`}`,
      )
      const attempts = event.attempts.map((one) => `${one.batch} ${one.reason} on ${one.worker}`)
      return `dead-letter.added ${event.run} ${letters.join(' ')} ${event.cause}: ${event.why} [${attempts.join(', ')}]`
    }
    case 'dead-letter.replayed':
      return `dead-letter.replayed ${event.letters.map((one) => one.letter).join(' ')} of ${event.run} by ${event.replay}`
    case 'dead-letter.settled':
      return `dead-letter.settled ${event.letters.join(' ')} of ${event.run} by ${event.replay} ${event.outcome}${event.removed ? ', removed' : ''}`
    case 'dead-letter.discarded':
    case 'dead-letter.dropped':
      return `${event.type} ${event.letters.join(' ')} of ${event.run}: ${event.why}`
    case 'breaker.moved': {
      const { ok, failed, workers } = event.counts
      const until = event.to !== 'open' ? '' : ` until ${event.untilMs ?? 'reset'}`
      const by = event.who === 'coordinator' ? '' : ` by ${event.who}`
      return `breaker.moved ${event.scope} ${event.from} -> ${event.to}${until}${by} (${ok} ok, ${failed} failed on ${workers}): ${event.why}`
    }
    case 'breaker.counted':
      return `breaker.counted ${event.scope} ${event.ok} ok, ${event.failed} failed: ${event.why}`
    case 'format.raised':
      return `format.raised ${event.format}`
    case 'run.errored':
      return `run.errored ${event.run}: ${event.message}`
    default:
      return `${event.type} ${'run' in event ? event.run : ''}`.trimEnd()
  }
}
