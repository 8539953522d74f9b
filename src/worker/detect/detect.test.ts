import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import type { Detected } from './detected.ts'
import { Detection, type DetectOptions } from './detect.ts'
import { PlantedHost, slicedCard, twoCards } from './fixtures/planted-host.ts'

function detection(host: PlantedHost, options: Partial<DetectOptions> = {}): Detection {
  return new Detection({
    level: 'quick',
    dataDir: host.directory,
    log: () => {},
    root: host.root,
    // Only what is planted: this machine's own tools are no part of the test.
    env: { PATH: host.bin },
    home: host.home,
    ...options,
  })
}

const machine = {
  '/etc/machine-id': '0123456789abcdef0123456789abcdef\n',
  '/etc/os-release': 'ID=debian\nVERSION_ID="12"\n',
  '/proc/cpuinfo': 'processor\t: 0\nmodel name\t: AMD EPYC 7543\n',
}

/** `cat` and the shell by their paths: PATH holds nothing else. */
const nvidiaOf = ({ listing, cards }: { listing: string; cards: string }): string =>
  `case $1 in -L) /bin/cat <<'L'\n${listing}\nL\n;; *) /bin/cat <<'Q'\n${cards}\nQ\n;; esac`

describe('Detection', () => {
  it('finds out what there is', async () => {
    using host = new PlantedHost().files(machine).program('nvidia-smi', nvidiaOf(slicedCard))
    host.program('go', 'echo go version go1.26.3 linux/amd64').program('adb', 'exit 1').program('deno', 'exit 4')
    await using found = detection(host)
    const { tools, gpus, attributes, unavailable, fingerprint } = await found.complete
    assert.deepEqual(tools, { adb: 'unknown', deno: 'unknown', go: '1.26.3' })
    assert.equal(gpus.length, 3)
    assert.equal(attributes['cpu.model'], 'AMD EPYC 7543')
    assert.equal(attributes['os.distribution'], 'debian')
    assert.equal(unavailable['tool.deno'], 'deno ended with 4')
    assert.equal(unavailable['speed'], 'not measured yet', 'quick measures nothing')
    assert.match(fingerprint ?? '', /^[0-9a-f]{32}$/)
    assert.deepEqual(Object.keys(attributes), Object.keys(attributes).toSorted())
  })

  it('does not let a start wait for what hangs, and tells it when it has come', async () => {
    using host = new PlantedHost().files(machine)
    const gate = path.join(host.directory, 'gate')
    host.program('nvidia-smi', `while ! [ -e ${gate} ]; do /bin/sleep 0.02; done\n${nvidiaOf(twoCards)}`)
    const told = Promise.withResolvers<Detected>()
    await using found = detection(host, {
      startWaitMs: 200,
      onUpdate: (detected) => detected.gpus.length > 0 && told.resolve(detected),
    })
    const first = await found.first
    assert.equal(existsSync(gate), false, 'it came without the answer')
    assert.deepEqual(first.gpus, [])
    assert.equal(first.unavailable['gpu'], 'not known yet')
    assert.equal(first.attributes['cpu.model'], 'AMD EPYC 7543')
    writeFileSync(gate, '')
    const later = await told.promise
    assert.deepEqual(
      later.gpus.map((gpu) => gpu.id),
      ['0', '1'],
    )
    assert.equal(later.unavailable['gpu'], undefined)
  })

  it('gives up what hangs for good, and says so', async () => {
    using host = new PlantedHost().files(machine).program('nvidia-smi', 'exec /bin/sleep 1000')
    await using found = detection(host, { startWaitMs: 50, askMs: 300 })
    const { unavailable } = await found.complete
    assert.equal(unavailable['gpu'], 'nvidia-smi did not answer within 0.3 s')
  })

  it('ends with its worker, with what it has asked', async () => {
    using host = new PlantedHost().files(machine).program('nvidia-smi', 'exec /bin/sleep 1000')
    const found = detection(host, { startWaitMs: 10 })
    await found.first
    await found[Symbol.asyncDispose]()
    assert.match(found.detected.unavailable['gpu'] ?? '', /the worker ends$/)
  })

  it('asks nothing at level none', async () => {
    using host = new PlantedHost().files(machine).program('go', 'echo go1.26.3')
    await using found = detection(host, { level: 'none' })
    assert.deepEqual(await found.complete, {
      tools: {},
      gpus: [],
      attributes: {},
      unavailable: {},
      fingerprint: undefined,
      speed: undefined,
    })
  })

  it('asks a tool once, until its file is another', async () => {
    using host = new PlantedHost().files(machine)
    const asked = path.join(host.directory, 'asked')
    const tool = (version: string): PlantedHost => host.program('go', `echo x >> ${asked}; echo go${version}`)
    const versions: (string | undefined)[] = []
    for (const version of ['1.26.3', '1.26.3', '1.26.10']) {
      if (versions.length !== 1) tool(version)
      await using found = detection(host)
      versions.push((await found.complete).tools['go'])
    }
    assert.deepEqual(versions, ['1.26.3', '1.26.3', '1.26.10'])
    assert.equal(readFileSync(asked, 'utf8'), 'x\nx\n')
  })

  it('waits with measuring until the machine is idle, and remembers what it measured', async () => {
    using host = new PlantedHost().files(machine)
    const idle = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    await using found = detection(host, {
      level: 'all',
      idle: () => {
        asked.resolve()
        return idle.promise
      },
    })
    await asked.promise
    assert.equal(found.detected.speed, undefined)
    idle.resolve()
    const { speed, attributes } = await found.complete
    assert.ok(speed !== undefined && speed > 0)
    assert.deepEqual(
      Object.keys(attributes).filter((name) => name.startsWith('speed.')),
      ['speed.cpu', 'speed.disk', 'speed.memory'],
    )
    await using again = detection(host, { level: 'quick' })
    assert.equal((await again.first).speed, speed)
  })

  it('looks again at what comes and goes, and tells when it has changed', async () => {
    using host = new PlantedHost().files(machine).program('nvidia-smi', nvidiaOf(twoCards))
    host.program('go', 'echo go1.26.3')
    const changes = { cards: Promise.withResolvers<Detected>(), tools: Promise.withResolvers<Detected>() }
    await using found = detection(host, {
      level: 'all',
      againMs: 20,
      onUpdate: (detected) => {
        if (detected.unavailable['gpu']?.startsWith('nvidia-smi ended') === true) changes.cards.resolve(detected)
        if (detected.tools['deno'] === '2.9.1') changes.tools.resolve(detected)
      },
    })
    assert.equal((await found.complete).gpus.length, 2)
    host.program('nvidia-smi', 'echo Unable to determine the device handle; exit 15')
    const later = await changes.cards.promise
    assert.deepEqual(later.gpus, [])
    assert.equal(later.tools['go'], '1.26.3')
    host.program('deno', 'echo deno 2.9.1')
    await changes.tools.promise
  })

  it('does without what it remembered when that is damaged', async () => {
    using host = new PlantedHost().files(machine).program('go', 'echo go1.26.3')
    const file = path.join(host.directory, 'detected.json')
    writeFileSync(file, '{"tool')
    await using found = detection(host)
    assert.equal((await found.complete).tools['go'], '1.26.3')
    const kept = JSON.parse(readFileSync(file, 'utf8')) as Record<string, object>
    const print = JSON.stringify([1, process.version, found.detected.fingerprint])
    writeFileSync(file, JSON.stringify({ ...kept, speed: { print, value: null } }))
    await using again = detection(host)
    assert.equal((await again.first).unavailable['speed'], 'not measured yet')
  })
})
