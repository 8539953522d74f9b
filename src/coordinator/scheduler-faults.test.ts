/** What a scheduler did wrong is known to whoever leads next: three leaders over one log, one of them from a snapshot. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apply } from '../core/advance.ts'
import { decodeEntry } from '../core/events.ts'
import { readableFormat } from '../core/format.ts'
import { defaultLimits } from '../core/limits.ts'
import { capture, restore, type SnapshotData } from '../core/snapshot.ts'
import { emptyState, type State } from '../core/state.ts'
import { plainSpec } from '../core/transcript.ts'
import { contractVersion } from '../plugins/contract.ts'
import { prepareGuard } from '../plugins/guard.ts'
import { Registry } from '../plugins/registry.ts'
import { SchedulerHost } from '../plugins/scheduler-host.ts'
import { Leader } from './leader.ts'

await prepareGuard()

const capabilities = { os: 'linux', arch: 'x64', cpus: 1, memoryBytes: 1, host: 'h', labels: {}, tools: {} }
const ending = { exitCode: 0, signal: null, startupMs: 0, wallMs: 1, interrupted: [], timedOut: [], errors: [] }

/** A coordinator's part in leading, from the state that the log gives it. */
class Term {
  readonly state: State
  readonly leader: Leader
  readonly host: SchedulerHost
  asked = 0

  constructor(state: State, log: Uint8Array[], epoch: number) {
    this.state = state
    const registry = new Registry()
    const order = () => {
      this.asked += 1
      throw new Error('oh')
    }
    const schedulers = [{ name: 'thrower', description: 'throws', order }]
    registry.add('/plugins/test.ts', { name: 'test', contract: contractVersion, schedulers })
    this.host = new SchedulerHost({ registry })
    this.leader = new Leader({
      state,
      epoch,
      position: log.length,
      append: (_epoch, _position, bytes, done) => {
        log.push(bytes)
        setImmediate(() => done({ type: 'ok' }))
      },
      available: () => true,
      scheduler: this.host,
      onCommitted: ({ events }) => this.host.committed(events),
      onDeposed: () => assert.fail('nobody else leads'),
      onFatal: (error) => assert.fail(String(error)),
      onHealth: () => undefined,
    })
  }

  /** Two runs, so that there is something to order; the default places both, one after the other. */
  async round(name: string): Promise<void> {
    const submit = (run: string) =>
      this.leader.submit({ type: 'submit', run, who: 'x', spec: plainSpec, files: ['f'], estimates: [1] })
    await Promise.all([submit(`${name}-a`), submit(`${name}-b`)])
    for (let left = 2; left > 0; left -= 1) {
      await this.leader.settled()
      const [{ worker, id: batch, token, tasks } = assert.fail('nothing is placed')] = this.state.batches.values()
      const reports = tasks.map((task) => ({
        task,
        outcome: 'passed' as const,
        durationMs: 1,
        counts: [1, 0, 0, 0] as const,
      }))
      void this.leader.submit({ type: 'report', worker, batch, token, reports })
      await this.leader.submit({ type: 'end', worker, batch, token, reason: 'completed', ...ending })
    }
    await this.leader.settled()
  }

  get inEffect(): string {
    return this.host.inEffect(this.state, this.state.schedulers.get('')).name
  }
}

function fold(log: readonly Uint8Array[]): State {
  const state = emptyState(defaultLimits)
  for (const bytes of log) {
    const { atMs, events } = decodeEntry(bytes)
    for (const event of events) apply(state, event, atMs)
  }
  return state
}

test('faults of a scheduler count on when another coordinator leads, and a suspended one stays so', async () => {
  const log: Uint8Array[] = []
  const first = new Term(emptyState(defaultLimits), log, 1)
  await first.leader.submit({ type: 'lead', epoch: 1, owner: 'a', version: '1' })
  await first.leader.submit({ type: 'raise-format', format: readableFormat })
  await first.leader.submit({ type: 'choose-scheduler', who: 'x', strategy: 'thrower' })
  await first.leader.submit({ type: 'join', worker: 'w', name: 'w', version: '1', capabilities, draining: false })
  for (const name of ['one', 'two', 'three']) await first.round(name)
  await first.leader.stop()
  assert.deepEqual([first.asked, first.inEffect], [3, 'thrower'])

  const second = new Term(fold(log), log, 2)
  assert.deepEqual(second.state.schedulerFaults, first.state.schedulerFaults)
  await second.leader.submit({ type: 'lead', epoch: 2, owner: 'b', version: '1' })
  for (const name of ['four', 'five', 'six']) await second.round(name)
  await second.leader.stop()
  assert.deepEqual([second.asked, second.inEffect], [2, 'history'], 'five in all were enough')

  const data = JSON.parse(JSON.stringify(capture(fold(log)))) as SnapshotData
  const third = new Term(restore(data, defaultLimits), log, 3)
  assert.match(third.host.problems(third.state, third.state.atMs)[0]!, /5 faults.*muster scheduler use thrower/)
  await third.leader.submit({ type: 'lead', epoch: 3, owner: 'c', version: '1' })
  await third.round('seven')
  assert.deepEqual([third.asked, third.inEffect], [0, 'history'])
  await third.leader.submit({ type: 'choose-scheduler', who: 'x', strategy: 'thrower' })
  await third.round('eight')
  assert.deepEqual([third.asked, third.inEffect], [1, 'thrower'], 'whoever chooses it forgives')
  await third.leader.stop()
})
