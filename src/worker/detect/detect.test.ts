import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
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
    // Of what doesn't hang nothing is late, however busy the machine is.
    startWaitMs: 60_000,
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
    host
      .program('go', 'echo go version go1.26.3 linux/amd64')
      .program('adb', 'exit 1')
      .program('deno', 'exit 4')
      .program('bun', 'echo hello')
    await using found = detection(host)
    const { tools, gpus, attributes, unavailable, fingerprint } = await found.complete
    assert.deepEqual(tools, { bun: 'unknown', go: '1.26.3' }, 'not those that fail')
    assert.equal(gpus.length, 3)
    assert.equal(attributes['cpu.model'], 'AMD EPYC 7543')
    assert.equal(attributes['os.distribution'], 'debian')
    assert.equal(unavailable['tool.deno'], 'deno ended with 4')
    assert.equal(unavailable['tool.bun'], 'bun printed no version')
    assert.equal(unavailable['speed'], 'not measured yet', 'quick measures nothing')
    assert.match(fingerprint ?? '', /^[0-9a-f]{32}$/)
    assert.deepEqual(Object.keys(attributes), Object.keys(attributes).toSorted())
  })

  it('takes no folder for a tool that is in a later one of PATH', async () => {
    using host = new PlantedHost().files({ ...machine, '/home/go/src/x': '', '/home/nvidia-smi/x': '' })
    host.program('go', 'echo go version go1.26.3 linux/amd64').program('nvidia-smi', nvidiaOf(twoCards))
    await using found = detection(host, { env: { PATH: `${host.root}/home:${host.bin}` } })
    const { tools, gpus } = await found.complete
    assert.deepEqual(tools, { go: '1.26.3' })
    assert.equal(gpus.length, 2)
  })

  it('tells versions as far as they can be compared', async () => {
    using host = new PlantedHost().files(machine)
    for (const [tool, answer] of [
      ['git', 'git version 2.45.1.windows.1'],
      ['ruby', 'ruby 2.7.4p191 (2021-07-07 revision a21a3b7d23) [x86_64-linux]'],
      ['clang', 'clang version 19.0.0git (https://github.com/llvm/llvm-project)'],
      ['gcc', 'gcc (Debian 12.2.0-14+deb12u1) 12.2.0'],
      ['java', 'openjdk version "1.8.0_292"'],
      ['python3', 'Python 3.15.0a1+'],
      ['node', 'v26.0.0-nightly20261122abc'],
      ['docker', 'Docker version 28.2.2, build e6534b4'],
    ] as const)
      host.program(tool, `echo '${answer}'`)
    await using found = detection(host)
    assert.deepEqual((await found.complete).tools, {
      clang: '19.0.0',
      docker: '28.2.2',
      gcc: '12.2.0-14',
      git: '2.45.1',
      java: '1.8.0_292',
      node: '26.0.0-nightly20261122abc',
      python3: '3.15.0a1',
      ruby: '2.7.4p191',
    })
  })

  it('does not let a start wait for what hangs, and tells it when it has come', async () => {
    using host = new PlantedHost().files(machine)
    const gate = path.join(host.directory, 'gate')
    host.program('nvidia-smi', `while ! [ -e ${gate} ]; do /bin/sleep 0.02; done\n${nvidiaOf(twoCards)}`)
    const told = Promise.withResolvers<Detected>()
    await using found = detection(host, {
      // Files are read in a moment, also on a busy machine.
      startWaitMs: 3000,
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

  it('takes notice of a card that is lost while tests run, and of one that comes back', async () => {
    using host = new PlantedHost().files(machine).program('nvidia-smi', nvidiaOf(twoCards))
    const lost = Promise.withResolvers<Detected>()
    const back = Promise.withResolvers<Detected>()
    const said: string[] = []
    await using found = detection(host, {
      level: 'all',
      watchMs: 20,
      // The worker always has something to do.
      idle: () => new Promise(() => {}),
      log: (level, text) => {
        if (level === 'warning') said.push(text)
      },
      onUpdate: (detected) => {
        if (detected.unavailable['gpu'] === 'card 1: [GPU is lost]') lost.resolve(detected)
        else if (detected.gpus.length === 2) back.resolve(detected)
      },
    })
    const before = await found.first
    assert.equal(before.gpus.length, 2)
    const [first = ''] = twoCards.cards.split('\n')
    const one = { ...twoCards, cards: `${first}\n1, [GPU is lost], [GPU is lost], [GPU is lost]` }
    host.program('nvidia-smi', nvidiaOf(one))
    const later = await lost.promise
    assert.deepEqual(
      later.gpus.map((gpu) => gpu.name),
      ['NVIDIA A100-PCIE-40GB'],
    )
    assert.equal(later.fingerprint, before.fingerprint)
    assert.deepEqual(said, ['No longer there: GPU 1 (NVIDIA T4); card 1: [GPU is lost]'])
    host.program('nvidia-smi', nvidiaOf(twoCards))
    await back.promise
  })

  it('does not take a card for lost because its tool was slow once', async () => {
    using host = new PlantedHost().files(machine)
    const [slow, asked] = [path.join(host.directory, 'slow'), path.join(host.directory, 'asked')]
    writeFileSync(asked, '')
    host.program(
      'nvidia-smi',
      `case $1 in -L) ;; *) echo x >> ${asked}; if [ -e ${slow} ]; then /bin/rm ${slow}; exec /bin/sleep 1000; fi;; esac\n${nvidiaOf(twoCards)}`,
    )
    await using found = detection(host, { watchMs: 20, askMs: 3000, log: (_, text) => assert.fail(text) })
    await found.first
    writeFileSync(slow, '')
    const times = (): number => readFileSync(asked, 'utf8').length
    for (let enough = Infinity; times() < enough; await sleep(10)) {
      assert.equal(found.detected.gpus.length, 2)
      if (enough === Infinity && !existsSync(slow)) enough = times() + 6
    }
  })

  it('looks again at tools and browsers when there is nothing to do, and tells when those are others', async () => {
    using host = new PlantedHost().files(machine).program('go', 'echo go1.26.3')
    host.program(
      'firefox',
      `case $1 in --version) echo Mozilla Firefox 140.0;; *) echo x >> ${host.directory}/asked; exit 3;; esac`,
    )
    const changes = { tools: Promise.withResolvers<Detected>(), browser: Promise.withResolvers<Detected>() }
    await using found = detection(host, {
      level: 'all',
      watchMs: 60_000,
      againMs: 20,
      onUpdate: (detected) => {
        if (detected.tools['deno'] === '2.9.1') changes.tools.resolve(detected)
        if (detected.attributes['browser.firefox.version'] === '141.0.2') changes.browser.resolve(detected)
      },
    })
    const { attributes, unavailable } = await found.complete
    assert.equal(attributes['browser.firefox.version'], '140.0')
    assert.equal(
      unavailable['browser.firefox.self-test'],
      'firefox ended with 3 before the self-test page had answered',
    )
    host.program('deno', 'echo deno 2.9.1')
    assert.equal((await changes.tools.promise).tools['go'], '1.26.3')
    host.program('firefox', 'case $1 in --version) echo Mozilla Firefox 141.0.2;; *) exit 3;; esac')
    await changes.browser.promise
    const tries = readFileSync(path.join(host.directory, 'asked'), 'utf8').split('\n').length - 1
    assert.ok(tries >= 1 && tries <= 3, `asked ${tries} times while nothing had changed`)
  })

  it('forgets a browser that is gone', async () => {
    using host = new PlantedHost().files(machine)
    host.program('firefox', 'case $1 in --version) echo Mozilla Firefox 140.0;; *) exit 3;; esac')
    const gone = Promise.withResolvers<void>()
    await using found = detection(host, {
      level: 'all',
      againMs: 20,
      onUpdate: ({ unavailable }) => {
        if (unavailable['browser'] !== undefined && unavailable['browser.firefox.self-test'] === undefined)
          gone.resolve()
      },
    })
    await found.complete
    rmSync(path.join(host.bin, 'firefox'))
    await gone.promise
  })

  it('gets along on a host of which nothing can be read', async () => {
    using host = new PlantedHost()
    await using found = detection(host, { level: 'all', env: {} })
    const { tools, gpus, attributes, unavailable, fingerprint, speed } = await found.complete
    assert.deepEqual([tools, gpus, fingerprint], [{}, [], undefined])
    assert.equal(unavailable['cpu'], '/proc/cpuinfo cannot be read')
    assert.equal(unavailable['gpu'], 'no nvidia-smi, no amd-smi or rocm-smi, and no card in /sys/class/drm')
    assert.equal(unavailable['browser'], "none on PATH, and none in Playwright's cache")
    assert.equal(unavailable['os.distribution'], 'there is no /etc/os-release')
    assert.match(unavailable['fingerprint'] ?? '', /^nothing here is one of a kind/)
    assert.equal(attributes['container'], false)
    assert.ok(speed !== undefined && speed > 0, String(unavailable['speed']))
  })

  it('gets along as a user that the system does not know', async (t) => {
    using host = new PlantedHost().files(machine)
    t.mock.method(os, 'homedir', () => {
      throw new Error('uv_os_homedir returned ENOENT')
    })
    const options: DetectOptions = { level: 'quick', dataDir: host.directory, log: () => {}, root: host.root, env: {} }
    await using found = new Detection(options)
    assert.equal((await found.complete).attributes['cpu.model'], 'AMD EPYC 7543')
  })

  it('gets along where everything that is read is rubbish', async () => {
    const rubbish = ['', '\0\0', '-1', 'NaN', '\u{1F4A5}'.repeat(1000), 'a: b: c\n:::\n- - -']
    for (const text of rubbish) {
      using host = new PlantedHost().files(
        Object.fromEntries(
          (
            '/proc/cpuinfo /proc/meminfo /proc/self/cgroup /proc/self/mountinfo /proc/1/cgroup /etc/os-release /etc/machine-id ' +
            '/sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max /sys/class/dmi/id/product_uuid /sys/class/dmi/id/sys_vendor ' +
            '/sys/class/drm/card0/device/vendor /sys/class/drm/card0/device/uevent /sys/class/accel/accel0/device/uevent ' +
            '/sys/class/net/eth0/address /sys/block/sda/queue/rotational /sys/devices/system/node/node0/cpulist'
          )
            .split(' ')
            .map((file) => [file, text]),
        ),
      )
      for (const tool of ['nvidia-smi', 'amd-smi', 'rocm-smi', 'docker', 'firefox', 'cog', 'go'])
        host.program(tool, `printf '%s' '${text.replaceAll('\0', '')}'`)
      await using found = detection(host)
      const { gpus, attributes } = await found.complete
      assert.deepEqual(gpus, [])
      for (const [name, value] of Object.entries(attributes))
        assert.ok(typeof value !== 'number' || (Number.isFinite(value) && value >= 0), `${name} is ${String(value)}`)
    }
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
