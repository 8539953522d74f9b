/** What is asked of the cluster while faults strike: `muster run` again and again, and small runs through the API. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { RunView } from '../../protocol/run-view.ts'
import type { JsonReport } from '../../reports/json.ts'
import type { Random } from '../sim/random.ts'
import { muster, type Cluster } from './cluster.ts'

export type ClientRun = {
  readonly client: string
  code: number | undefined
  report: JsonReport | undefined
  stderr: string
}

export type Submission = {
  readonly key: string
  readonly files: number
  /** The answer that it was taken: the run, and the log position. */
  acknowledged: { readonly run: string; readonly position: number } | undefined
  cancelled: boolean
  tries: number
  /** Answers that nobody should get, in words. */
  readonly wrong: string[]
}

const againMs = 200
const cancelShare = 0.2
const readShare = 0.4

export class Load {
  readonly runs: ClientRun[] = []
  readonly submissions: Submission[] = []
  readonly #cluster: Cluster
  readonly #project: string
  readonly #random: Random
  readonly #children = new Set<ChildProcess>()
  readonly #loops: Promise<void>[] = []
  #open = true
  #given = false

  constructor(cluster: Cluster, project: string, random: Random) {
    this.#cluster = cluster
    this.#project = project
    this.#random = random
  }

  begin(round: number, clients: number, submitEveryMs: number): void {
    for (let number = 1; number <= clients; number += 1) this.#loops.push(this.#client(`client-${number}`))
    this.#loops.push(this.#submit(round, submitEveryMs))
  }

  /** Nothing more is begun; resolves when what was begun is answered, or to false after the bound. */
  async end(withinMs: number): Promise<boolean> {
    this.#open = false
    const late = Promise.withResolvers<false>()
    const timer = setTimeout(() => late.resolve(false), withinMs)
    const inTime = await Promise.race([Promise.all(this.#loops).then(() => true), late.promise])
    clearTimeout(timer)
    return inTime
  }

  /** At once, answered or not. */
  stop(): void {
    this.#open = false
    this.#given = true
    for (const child of this.#children) child.kill('SIGKILL')
  }

  async #client(client: string): Promise<void> {
    while (this.#open) await this.#run(client)
  }

  async #run(client: string): Promise<void> {
    const { enterClient, urls, tokens, root } = this.#cluster
    const data = path.join(root, client)
    mkdirSync(data, { recursive: true })
    const flags = ['--server', urls.join(','), '--token', tokens.client, '--json', '--wait-for-worker', '10m']
    const [program = '', ...args] = [...enterClient, 'setpriv', '--pdeathsig', 'KILL', '--', muster, 'run', ...flags]
    const env = this.#cluster.environment(data)
    const child = spawn(program, args, { cwd: this.#project, env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#children.add(child)
    const run: ClientRun = { client, code: undefined, report: undefined, stderr: '' }
    this.runs.push(run)
    let stdout = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      run.stderr += text
    })
    run.code = await new Promise<number>((resolve) => {
      child.once('error', (error) => {
        run.stderr += error.message
        resolve(-1)
      })
      child.once('close', (code) => resolve(code ?? -1))
    })
    this.#children.delete(child)
    if (stdout !== '') run.report = JSON.parse(stdout) as JsonReport
  }

  async #submit(round: number, everyMs: number): Promise<void> {
    const under: Promise<void>[] = []
    for (let number = 1; this.#open; number += 1) {
      const files = this.#random.int(1, 5)
      const key = `round-${round}-${number}`
      const submission: Submission = { key, files, acknowledged: undefined, cancelled: false, tries: 0, wrong: [] }
      this.submissions.push(submission)
      under.push(this.#submitOne(submission))
      await delay(everyMs)
    }
    await Promise.all(under)
  }

  /** Asks one coordinator after the other, with the same key, until one says that it is taken. */
  async #submitOne(submission: Submission): Promise<void> {
    const { key } = submission
    const files = Array.from({ length: submission.files }, (_, index) => `${key}/${index}`)
    const body = { framework: 'none', project: 'none', files }
    const headers = { 'idempotency-key': key }
    while (!submission.acknowledged) {
      if (this.#given) return
      submission.tries += 1
      const coordinator = this.#random.pick(this.#cluster.coordinators)
      const answer = await this.#cluster
        .ask<RunView>(coordinator, '/runs', { method: 'POST', body, headers, withinMs: 4000 })
        .catch(() => undefined)
      if (answer?.status === 201) submission.acknowledged = { run: answer.body.run, position: answer.position }
      else if (answer !== undefined && answer.status !== 503 && answer.status !== 429) {
        submission.wrong.push(`submitting got ${answer.status} ${JSON.stringify(answer.body)}`)
      }
      if (!submission.acknowledged) await delay(againMs)
    }
    if (this.#random.chance(cancelShare)) await this.#cancel(submission)
    if (this.#random.chance(readShare)) await this.#readBack(submission)
  }

  async #cancel(submission: Submission): Promise<void> {
    const { run } = submission.acknowledged!
    const coordinator = this.#random.pick(this.#cluster.coordinators)
    const answer = await this.#cluster
      .ask(coordinator, `/runs/${run}/cancel`, { method: 'POST', body: {}, withinMs: 4000 })
      .catch(() => undefined)
    if (answer?.status === 200) submission.cancelled = true
    // It may have finished by then.
    else if (answer !== undefined && ![409, 429, 503].includes(answer.status)) {
      submission.wrong.push(`cancelling got ${answer.status} ${JSON.stringify(answer.body)}`)
    }
  }

  /** Whoever knows a position is never shown an older state, whichever coordinator answers. */
  async #readBack(submission: Submission): Promise<void> {
    const { run, position } = submission.acknowledged!
    const coordinator = this.#random.pick(this.#cluster.coordinators)
    const answer = await this.#cluster
      .ask<RunView>(coordinator, `/runs/${run}`, { headers: { 'muster-position': String(position) }, withinMs: 4000 })
      .catch(() => undefined)
    if (answer === undefined || answer.status === 503) return
    if (answer.status === 200 && answer.position >= position) return
    submission.wrong.push(`read from ${coordinator} after position ${position}: ${answer.status} at ${answer.position}`)
  }
}
