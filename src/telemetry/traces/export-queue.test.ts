import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../../stdx/clock.ts'
import { ExportQueue } from './export-queue.ts'
import type { SpanData } from './span.ts'

const span = (name: string): SpanData => ({
  traceId: '',
  spanId: '',
  parentSpanId: undefined,
  name,
  startMs: 0,
  endMs: 0,
  ok: true,
  message: undefined,
  attributes: {},
  events: [],
})

/** A queue whose timers the test fires, and whose calls it answers. */
function stage(queueMax = 100) {
  const timers: { readonly delayMs: number; readonly call: () => void }[] = []
  const calls: { readonly names: string[]; readonly resolve: () => void; readonly reject: (error: Error) => void }[] =
    []
  const outcomes: (string | undefined)[] = []
  const gate = { open: true }
  const clock: Clock = {
    wallMs: () => 0,
    monotonicMs: () => 0,
    after(delayMs, call) {
      const timer = { delayMs, call }
      timers.push(timer)
      return () => void timers.splice(timers.indexOf(timer), 1)
    },
    soon: (call) => call(),
    later: (call) => call(),
  }
  const queue = new ExportQueue({
    send: (spans) =>
      new Promise((resolve, reject) => calls.push({ names: spans.map(({ name }) => name), resolve, reject })),
    mayCall: () => gate.open,
    onOutcome: (problem) => outcomes.push(problem),
    clock,
    delayMs: 100,
    batchMax: 2,
    queueMax,
  })
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  const fire = () => {
    const timer = timers.shift()
    timer?.call()
    return timer?.delayMs
  }
  return { queue, calls, outcomes, gate, turn, fire, timers }
}

test('spans are collected for a while and sent in batches, one at a time', async () => {
  const { queue, calls, fire, turn, timers } = stage()
  queue.add([span('a')])
  queue.add([span('b'), span('c')])
  assert.equal(calls.length, 0)
  assert.equal(fire(), 100)
  assert.deepEqual(calls[0]!.names, ['a', 'b'])
  queue.add([span('d')])
  assert.equal(timers.length, 0, 'nothing more while one is under way')
  calls[0]!.resolve()
  await turn()
  assert.equal(fire(), 0)
  assert.deepEqual(calls[1]!.names, ['c', 'd'])
  calls[1]!.resolve()
  await turn()
  assert.deepEqual([queue.exported, queue.dropped, queue.waiting], [4, 0, 0])
})

test('what fails is sent again, later and later, in its order', async () => {
  const { queue, calls, outcomes, fire, turn } = stage()
  queue.add([span('a'), span('b'), span('c')])
  fire()
  const delays: (number | undefined)[] = []
  for (let at = 0; at < 7; at += 1) {
    calls.at(-1)!.reject(new Error('away'))
    await turn()
    delays.push(fire())
    assert.deepEqual(calls.at(-1)!.names, ['a', 'b'])
  }
  assert.deepEqual(delays, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
  assert.equal(queue.failing, true)
  calls.at(-1)!.resolve()
  await turn()
  assert.equal(queue.failing, false)
  assert.deepEqual(outcomes, [...Array<string>(7).fill('away'), undefined])
})

test('when it is full the oldest go, and are counted', async () => {
  const { queue, calls, fire } = stage(3)
  queue.add(['a', 'b', 'c', 'd', 'e'].map(span))
  assert.deepEqual([queue.dropped, queue.waiting, queue.full], [2, 3, true])
  fire()
  assert.deepEqual(calls[0]!.names, ['c', 'd'])
})

test('nothing is called while the breaker is open', async () => {
  const { queue, calls, gate, fire } = stage()
  gate.open = false
  queue.add([span('a')])
  fire()
  assert.equal(calls.length, 0)
  gate.open = true
  assert.equal(fire(), 1000)
  assert.deepEqual(calls[0]!.names, ['a'])
})

test('flush sends all that waits at once, and waits for no collector that fails', async () => {
  const { queue, calls, turn } = stage()
  queue.add([span('a'), span('b'), span('c')])
  let done = false
  const flushed = queue.flush().then(() => (done = true))
  calls[0]!.resolve()
  await turn()
  assert.deepEqual(calls[1]!.names, ['c'])
  assert.equal(done, false)
  calls[1]!.reject(new Error('away'))
  await flushed
  queue.close()
  assert.deepEqual([queue.exported, queue.dropped], [2, 1])
})
