import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from '../core/advance.ts'
import { defaultLimits } from '../core/limits.ts'
import { emptyState } from '../core/state.ts'
import type { FeedMessage, RunView } from '../protocol/run-view.ts'
import type { Live } from '../protocol/worker-messages.ts'
import { Feed, type Watcher } from './feed.ts'

function setUp() {
  const state = emptyState(defaultLimits)
  const spec = { framework: 'command', suite: 's', project: 'p', priority: 0, open: false, retries: 0, context: '' }
  const input = { type: 'submit', run: 'r1', who: 'client:a', spec, files: ['a'], estimates: [null] }
  advance(state, input as unknown as Parameters<typeof advance>[1], 1)
  const run = state.runs.get('r1')!
  const surroundings = { strained: undefined as string | undefined, position: 7 }
  const feed = new Feed(
    state,
    () => ({ run: 'r1' }) as RunView,
    () => undefined,
    {
      position: () => surroundings.position,
      strained: () => surroundings.strained,
      limits: { watcherBytesFine: 1000, watcherBytesMax: 10_000 },
    },
  )
  const watch = () => {
    const seen: FeedMessage[] = []
    const watcher = {
      backlog: 0,
      closed: '',
      send: (message: FeedMessage) => void seen.push(message),
      close(why: string) {
        watcher.closed = why
      },
    } satisfies Watcher & { closed: string }
    const end = feed.watch(run, watcher)
    return { seen, watcher, end, types: () => seen.map((one) => one.type) }
  }
  const test = { task: 0, name: ['t'], status: 'passed', durationMs: 1 }
  const live = () => feed.live(run, 'w', { type: 'live', batch: 'b', tests: [test], output: 'text' } as unknown as Live)
  const ended = { type: 'task.ended', run: 'r1', tasks: [0], state: 'passed', why: '' } as const
  return { feed, surroundings, watch, live, end: () => feed.committed([ended], 1) }
}

test('Feed: a watcher that cannot keep up gets a coarse view, is told so, and gets all again when it has caught up', () => {
  const { watch, live, end } = setUp()
  const slow = watch()
  const quick = watch()
  assert.deepEqual(slow.seen[0], { type: 'snapshot', run: { run: 'r1' }, running: [], position: 7 })
  slow.watcher.backlog = 1001
  live()
  assert.deepEqual(slow.types(), ['snapshot', 'notice'])
  assert.match((slow.seen[1] as { text: string }).text, /^the live view is coarse: the connection is slower/)
  assert.deepEqual(quick.types(), ['snapshot', 'test', 'output'])
  end()
  assert.equal(slow.types().at(-1), 'task-ended', 'the ends of files are never left out')
  // Well below, so that it doesn't flutter.
  slow.watcher.backlog = 200
  live()
  assert.equal(slow.types().at(-1), 'task-ended')
  slow.watcher.backlog = 50
  live()
  assert.deepEqual(slow.types().slice(-3), ['notice', 'test', 'output'])
  slow.end()
  quick.end()
})

test('Feed: while the coordinator is overloaded every view is coarse; who takes nothing is closed', () => {
  const { watch, live, end, surroundings, feed } = setUp()
  const one = watch()
  surroundings.strained = 'the coordinator is overloaded'
  live()
  assert.deepEqual(one.seen.at(-1), {
    type: 'notice',
    level: 'info',
    text: 'the live view is coarse: the coordinator is overloaded',
  })
  surroundings.strained = undefined
  live()
  assert.equal(one.types().at(-1), 'output')
  assert.equal(feed.dropped, 2)

  one.watcher.backlog = 10_001
  const before = one.seen.length
  end()
  assert.match(one.watcher.closed, /too much waits/)
  assert.deepEqual(one.types().slice(before), ['notice'])
  one.end()
  assert.equal(feed.watchers, 0)
})
