import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { ProtocolRig } from './test-protocol.ts'

describe('WorkerProtocol: contact', () => {
  it('ends what runs when no heartbeat sent within fenceMs was answered, and reports it as fenced', () => {
    const rig = new ProtocolRig().join().assign('b1').started('b1', 0)
    rig.clock.advance(3000)
    rig.beats = false
    rig.lose().asked()
    // The newest answered heartbeat was sent at 3000: lost when more than 6000 have passed since.
    rig.clock.advance(6000)
    assert.deepEqual(rig.asked(), [])
    rig.clock.advance(2)
    assert.deepEqual(rig.asked(), ['kill b1', 'end:fenced b1'])
    rig.sent = []
    rig.join()
    assert.deepEqual(rig.news(), ['hello', 'started b1', 'ended b1 fenced'])
  })

  it('counts from when an answered heartbeat was sent, not from when the answer came', () => {
    const rig = new ProtocolRig().join().assign('b1')
    rig.beats = false
    rig.clock.advance(1000)
    const n = rig.heartbeats
    rig.clock.advance(1500)
    // Sent at 1000 of this test, answered at 2500: a proof until 7000.
    rig.say({ type: 'beat', n }).asked()
    rig.clock.advance(4500)
    assert.deepEqual(rig.asked('kill'), [])
    rig.clock.advance(2)
    assert.deepEqual(rig.asked('kill'), ['kill b1'])
  })

  it('is not fooled by a beat for a heartbeat that it never sent', () => {
    const rig = new ProtocolRig().join().assign('b1')
    rig.beats = false
    rig.lose().join()
    rig.clock.advance(5000)
    rig.say({ type: 'beat', n: 1_000_000 })
    rig.clock.advance(1002)
    assert.ok(rig.asked('kill').includes('kill b1'))
  })

  for (const [what, wake] of Object.entries<(rig: ProtocolRig) => void>({
    'a message': (rig) => rig.say({ type: 'beat', n: rig.heartbeats }),
    'a report': (rig) => rig.started('b1', 1),
    'live output': (rig) => rig.protocol.live('{"type":"live","batch":"b1","tests":[]}'),
    'a lost connection': (rig) => rig.lose(),
    'a refusal everywhere': (rig) => rig.protocol.away(rig.clock.nowMs),
    'a drain': (rig) => rig.protocol.drain('SIGTERM'),
    'a timer': (rig) => rig.clock.advance(0),
  })) {
    it(`after its own pause, ends what runs before it does anything about ${what}`, () => {
      const rig = new ProtocolRig().join().assign('b1').assign('b2', 2).started('b1', 0)
      rig.clock.advance(1000)
      rig.beats = false
      rig.obedient = false
      rig.asked()
      rig.clock.pause(20_000)
      wake(rig)
      assert.deepEqual(rig.asked().slice(0, 4), ['kill b1', 'kill b2', 'end:fenced b1', 'end:fenced b2'])
    })
  }

  it('stays with its coordinator after its own pause: what came meanwhile has not been read yet', () => {
    const rig = new ProtocolRig().join()
    rig.beats = false
    rig.clock.pause(20_000)
    rig.clock.advance(0)
    assert.deepEqual(rig.asked('reconnect'), [])
  })

  it('takes the absence of the coordinators that it knows for nothing while the cluster has more', () => {
    const rig = new ProtocolRig().join().assign('b1')
    rig.say({ type: 'beat', n: rig.heartbeats, coordinators: 3 })
    rig.beats = false
    rig.lose().asked()
    rig.clock.advance(4000)
    rig.protocol.away(rig.clock.nowMs, 2)
    rig.clock.advance(2002)
    assert.deepEqual(rig.asked('kill'), ['kill b1'])
  })

  it('takes it for a proof once the leader says that the cluster has no more', () => {
    const rig = new ProtocolRig().join({ coordinators: 3 }).assign('b1')
    rig.say({ type: 'beat', n: rig.heartbeats, coordinators: 2 })
    rig.beats = false
    rig.lose().asked()
    rig.clock.advance(4000)
    rig.protocol.away(rig.clock.nowMs, 2)
    rig.clock.advance(2002)
    assert.deepEqual(rig.asked('kill'), [])
  })

  it('goes on while every coordinator is away, and counts anew from when they were', () => {
    const rig = new ProtocolRig().join().assign('b1')
    rig.lose().asked()
    for (let round = 0; round < 10; round += 1) {
      rig.clock.advance(4000)
      rig.protocol.away(rig.clock.nowMs - 100)
    }
    assert.deepEqual(rig.asked(), [])
    // One has been started: it may have granted a lease since the last refusals, and no more.
    rig.clock.advance(5900)
    assert.deepEqual(rig.asked(), [])
    rig.clock.advance(2)
    assert.deepEqual(rig.asked('kill'), ['kill b1'])
  })

  it('does not take a refusal from before the last contact for an absence', () => {
    const rig = new ProtocolRig().join().assign('b1')
    rig.protocol.away(rig.clock.nowMs - 500)
    rig.lose()
    rig.clock.advance(6001)
    assert.deepEqual(rig.asked('kill'), ['kill b1'])
  })

  it('reports as the executor says: all was reported before the end', () => {
    const rig = new ProtocolRig().join().assign('b1')
    rig.obedient = false
    rig.lose()
    rig.clock.advance(6001)
    rig.ended('b1', 'completed')
    rig.sent = []
    rig.join()
    assert.deepEqual(rig.news(), ['hello', 'ended b1 completed'])
  })

  it('never ends what runs when it is alone', () => {
    const rig = new ProtocolRig({ isAlone: true }).join().assign('b1')
    rig.lose()
    rig.clock.advance(1_000_000)
    assert.deepEqual(rig.asked('kill'), [])
    rig.join().say({ type: 'ack', seq: 0 })
    assert.equal(rig.protocol.held.length, 1)
  })

  it('begins nothing before it is in contact', () => {
    const rig = new ProtocolRig()
    rig.beats = false
    rig.join().assign('b1')
    assert.deepEqual(rig.asked('start'), [])
    rig.say({ type: 'beat', n: rig.heartbeats })
    assert.deepEqual(rig.asked('start'), ['start b1'])
    rig.assign('b2', 2)
    assert.deepEqual(rig.asked('start'), ['start b2'])
  })

  it('says itself how a batch ended that it never began', () => {
    const rig = new ProtocolRig()
    rig.beats = false
    rig.join().assign('b1')
    rig.say({ type: 'cancel', batch: 'b1', why: 'nobody wants it', drainMs: 1000 })
    assert.deepEqual(rig.news(), ['hello', 'ended b1 cancelled'])
    rig.say({ type: 'beat', n: rig.heartbeats })
    assert.deepEqual(rig.asked('start', 'terminate'), [])
  })

  it('sends at least five heartbeats in fenceMs', () => {
    const rig = new ProtocolRig().join({ fenceMs: 500 }).assign('b1')
    rig.clock.advance(10_000)
    assert.deepEqual(rig.asked('kill', 'reconnect'), [])
    assert.equal(rig.heartbeats, 101)
  })
})

describe('WorkerProtocol: connections', () => {
  it('leaves a coordinator that is silent for half of fenceMs', () => {
    const rig = new ProtocolRig().join()
    rig.beats = false
    rig.clock.advance(2900)
    assert.deepEqual(rig.asked('reconnect'), [])
    rig.clock.advance(200)
    assert.deepEqual(rig.asked('reconnect'), ['reconnect'])
    rig.clock.advance(10_000)
    assert.deepEqual(rig.asked('reconnect'), [])
  })

  it('leaves one that does not welcome it', () => {
    const rig = new ProtocolRig()
    rig.protocol.opened()
    rig.clock.advance(10_001)
    assert.deepEqual(rig.asked('reconnect'), ['reconnect'])
  })

  it('stays while what it has written is still leaving', () => {
    const rig = new ProtocolRig().join()
    rig.beats = false
    for (rig.bufferedBytes = 900_000; rig.bufferedBytes > 0; rig.bufferedBytes -= 100_000) rig.clock.advance(1000)
    assert.deepEqual(rig.asked('reconnect'), [])
  })

  it('writes no more than a heartbeat may wait for; the rest follows', () => {
    const rig = new ProtocolRig().join().assign('b1')
    rig.bufferedBytes = 2 * 1024 * 1024
    rig.started('b1', 0).started('b1', 1)
    rig.protocol.live('{"type":"live"}')
    assert.deepEqual(rig.news(), ['hello'])
    rig.bufferedBytes = 0
    rig.say({ type: 'ack', seq: 0 })
    assert.deepEqual(rig.news(), ['started b1', 'started b1'])
  })

  it('answers a greeting with hello, says nothing else until it is welcomed, then repeats', () => {
    const rig = new ProtocolRig().join().assign('b1').started('b1', 0)
    rig.news()
    rig.say({ type: 'greet' })
    rig.started('b1', 1)
    rig.protocol.live('{"type":"live","batch":"b1","tests":[]}')
    // From the leader before: nothing of it counts.
    rig.say({ type: 'ack', seq: 1 }).assign('b9', 9).say({ type: 'cancel', batch: 'b1', why: 'old' })
    rig.clock.advance(1000)
    assert.deepEqual(rig.news(), ['hello'])
    assert.equal(rig.protocol.held.length, 1)
    rig.welcome({ epoch: 2 })
    assert.deepEqual(rig.news(), ['started b1', 'started b1'])
  })

  it('refuses a leader of a lower epoch than it has seen, and dials on', () => {
    const rig = new ProtocolRig().join({ epoch: 7 }).assign('b1')
    rig.lose().asked()
    rig.join({ epoch: 6, keep: [] })
    assert.deepEqual(rig.asked('joined', 'reconnect', 'terminate'), ['reconnect'])
    rig.say({ type: 'cancel', batch: 'b1', why: 'old' }).welcome({ epoch: 6 })
    assert.deepEqual(rig.asked('end:cancelled', 'joined'), [])
    rig.lose().join({ epoch: 7 })
    assert.deepEqual(rig.asked('joined'), ['joined'])
    assert.equal(rig.protocol.epoch, 7)
  })

  it('takes a lower epoch for a new log when it holds nothing and the old one has been silent for a minute', () => {
    const rig = new ProtocolRig().join({ epoch: 7 })
    rig.lose()
    rig.clock.advance(59_000)
    rig.join({ epoch: 1 })
    assert.deepEqual(rig.asked('reconnect'), ['reconnect'])
    rig.lose()
    rig.clock.advance(2000)
    rig.join({ epoch: 1 })
    assert.deepEqual(rig.asked('reconnect'), [])
    assert.equal(rig.protocol.isWelcomed, true)
  })

  it('is orphaned when nobody welcomes it for long enough', () => {
    const rig = new ProtocolRig({ orphanTimeoutMs: 1000 }).join()
    rig.lose()
    rig.clock.advance(900)
    rig.join().asked()
    rig.lose()
    rig.clock.advance(999)
    rig.protocol.closed()
    assert.deepEqual(rig.asked(), [])
    rig.clock.advance(1)
    assert.deepEqual(rig.asked(), ['orphaned'])
  })
})

describe('WorkerProtocol: batches', () => {
  it('takes a repeated assignment as one, also when the batch is over', () => {
    const rig = new ProtocolRig().join().assign('b1').assign('b1')
    assert.deepEqual(rig.asked('start'), ['start b1'])
    rig.ended('b1').say({ type: 'ack', seq: 1 })
    assert.deepEqual(rig.asked('released'), ['released b1'])
    rig.assign('b1')
    assert.deepEqual(rig.asked('start'), [])
    assert.equal(rig.protocol.held.length, 0)
  })

  it('keeps what it has under one token when the same batch comes with another', () => {
    const rig = new ProtocolRig().join().assign('b1', 1).assign('b1', 2)
    assert.deepEqual(rig.asked('start'), ['start b1'])
    assert.deepEqual(
      rig.protocol.held.map((held) => held.token),
      [1],
    )
  })

  it('stops what a welcome does not keep, and drops its reports', () => {
    const rig = new ProtocolRig().join().assign('b1').assign('b2', 2).started('b1', 0).started('b2', 0)
    rig.obedient = false
    rig.lose().sent = []
    rig.join({ keep: ['b2'] })
    assert.deepEqual(rig.news(), ['hello', 'started b2'])
    assert.deepEqual(rig.asked('abandon', 'terminate'), ['abandon b1', 'terminate b1'])
    rig.ended('b1', 'cancelled')
    rig.protocol.abandoned('b1')
    assert.deepEqual(rig.asked('released'), ['released b1'])
    assert.deepEqual(rig.news(), [])
  })

  it('keeps what was assigned after the hello that a welcome answers: greetings may cross', () => {
    const rig = new ProtocolRig().join().say({ type: 'greet' }).say({ type: 'greet' })
    rig.welcome().assign('b1').welcome({ keep: [] })
    assert.deepEqual(
      rig.protocol.held.map((held) => [held.batch, held.abandoned]),
      [['b1', false]],
    )
  })

  it('lets the tasks that run finish when it is cancelled with drainMs', () => {
    const rig = new ProtocolRig().join().assign('b1').started('b1', 0)
    rig.say({ type: 'cancel', batch: 'b1', why: 'drained', drainMs: 10_000 })
    assert.deepEqual(rig.asked('end:cancelled'), [])
    rig.protocol.reported('reported', 'b1', '{"type":"reported"}', [0])
    assert.deepEqual(rig.asked('end:cancelled', 'terminate'), ['end:cancelled b1', 'terminate b1'])
  })

  it('reports what its executor can no longer say', () => {
    const rig = new ProtocolRig().join().assign('b1').assign('b2', 2).started('b1', 1)
    rig.obedient = false
    rig.say({ type: 'cancel', batch: 'b2', why: 'nobody wants it' })
    rig.protocol.executorDied('stopped')
    assert.deepEqual(rig.news().slice(-2), ['ended b1 crashed', 'ended b2 cancelled'])
  })

  it('is drained when everything is acknowledged, and not while it waits for a welcome', () => {
    const rig = new ProtocolRig().join().assign('b1').ended('b1')
    rig.protocol.drain('SIGTERM')
    rig.say({ type: 'greet' })
    assert.deepEqual(rig.asked('drained'), [])
    rig.welcome().say({ type: 'ack', seq: 1 })
    assert.deepEqual(rig.asked('drained'), [])
    rig.say({ type: 'ack', seq: 2 })
    assert.deepEqual(rig.asked('drained'), ['drained'])
  })
})

describe('WorkerProtocol: recycling', () => {
  it('waits until nothing is held, begins nothing meanwhile, and says so', () => {
    const rig = new ProtocolRig().join().assign('b1')
    rig.say({ type: 'recycle', id: 5, why: 'it fails too often' })
    rig.ended('b1')
    assert.deepEqual(rig.asked('recycle'), [])
    rig.say({ type: 'ack', seq: 1 })
    assert.deepEqual(rig.asked('recycle'), ['recycle'])
    rig.say({ type: 'recycle', id: 5, why: 'it fails too often' }).assign('b2', 2)
    assert.deepEqual(rig.asked('recycle', 'start'), [])
    rig.sent = []
    rig.protocol.recycled()
    assert.deepEqual(rig.sent, [{ seq: 2, type: 'recycled', id: 5 }])
    assert.deepEqual(rig.asked('start'), ['start b2'])
  })
})

it('WorkerProtocol needs nothing of Node', () => {
  const seen = new Set<string>()
  const visit = (file: string): void => {
    if (seen.has(file)) return
    seen.add(file)
    for (const [statement, from] of readFileSync(file, 'utf8').matchAll(/^(?:import|export) [^']*from '([^']+)'/gm)) {
      if (statement.startsWith('import type ')) continue
      assert.ok(from!.startsWith('.'), `${file} imports ${from}`)
      visit(path.join(path.dirname(file), from!))
    }
  }
  visit(path.join(import.meta.dirname, 'protocol.ts'))
  assert.ok(seen.size >= 4)
})

describe('WorkerProtocol: capabilities', () => {
  const understands = { understands: ['capabilities'] } as const
  const describe = (rig: ProtocolRig, speed: number): void => {
    rig.capabilities = { ...rig.capabilities, speed }
    rig.protocol.described()
  }

  it('are said again when they have changed, and only then', () => {
    const rig = new ProtocolRig().join(understands)
    rig.protocol.described()
    assert.deepEqual(rig.news(), ['hello'])
    describe(rig, 2)
    describe(rig, 2)
    assert.deepEqual(
      rig.sent.flatMap((one) => (one.type === 'capabilities' ? one.capabilities.speed : [])),
      [2],
    )
  })

  it('are not sent to a coordinator that does not understand them', () => {
    const rig = new ProtocolRig().join()
    describe(rig, 2)
    assert.deepEqual(rig.news(), ['hello'])
    // The one that leads next does.
    rig.say({ type: 'greet' }).welcome(understands)
    assert.deepEqual(rig.news(), ['hello'], 'its hello has said them already')
    describe(rig, 3)
    assert.deepEqual(rig.news(), ['capabilities'])
  })

  it('that change between hello and welcome, or while nobody is there, are not forgotten', () => {
    const rig = new ProtocolRig()
    rig.protocol.opened()
    describe(rig, 2)
    assert.deepEqual(rig.news(), ['hello'])
    rig.welcome(understands)
    assert.deepEqual(rig.news(), ['capabilities'])
    rig.lose()
    describe(rig, 3)
    assert.deepEqual(rig.news(), [])
    rig.join(understands)
    assert.deepEqual(rig.news(), ['hello'])
  })
})
