/**
 * Hosts as network namespaces on one bridge, for root on Linux: each has an address of its own, and
 * what it hears is decided by iptables inside it. This machine reaches every host over the bridge, and
 * no fault touches that. Disks are small tmpfs. Everything carries this process's id in its name, so that
 * what a killed session left can be told from what a living one needs (leftovers.ts).
 */
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import path from 'node:path'
import { command, tryCommand } from './command.ts'
import type { Block, Disk, Ground, Mend } from './ground.ts'

const fillMib = 1024 * 1024

export const namespacePrefix = 'muster-chaos-'
export const namespaceOf = (pid: number, host: string): string => `${namespacePrefix}${pid}-${host}`
export const bridgeOf = (pid: number): string => `mc${pid}`

/** Undefined when it can't be done here; `why` is told the reason. */
export async function openNamespaces(
  hosts: readonly string[],
  directory: string,
  why: (words: string) => void,
): Promise<Ground | undefined> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    why('not root on Linux')
    return undefined
  }
  const ground = new Namespaces(hosts, directory)
  try {
    await ground.raise()
    return ground
  } catch (error) {
    await ground[Symbol.asyncDispose]()
    why(error instanceof Error ? error.message : String(error))
    return undefined
  }
}

class Namespaces implements Ground {
  readonly lack = undefined
  readonly hasNetwork = true
  readonly #hosts: readonly string[]
  readonly #directory: string
  /** First three bytes of every address. */
  readonly #net: string
  readonly #mounted: string[] = []

  constructor(hosts: readonly string[], directory: string) {
    this.#hosts = hosts
    this.#directory = directory
    this.#net = `10.${64 + ((process.pid >> 8) & 63)}.${process.pid & 255}`
  }

  async raise(): Promise<void> {
    const bridge = bridgeOf(process.pid)
    await command('ip', 'link', 'add', bridge, 'type', 'bridge')
    await command('ip', 'addr', 'add', `${this.#net}.254/24`, 'dev', bridge)
    await command('ip', 'link', 'set', bridge, 'up')
    for (const [index, host] of this.#hosts.entries()) {
      const name = namespaceOf(process.pid, host)
      const plug = `${bridge}v${index + 1}`
      await command('ip', 'netns', 'add', name)
      await command('ip', 'link', 'add', plug, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
      await command('ip', 'link', 'set', plug, 'master', bridge, 'up')
      await command('ip', '-n', name, 'addr', 'add', `${this.address(host)}/24`, 'dev', 'eth0')
      await command('ip', '-n', name, 'link', 'set', 'eth0', 'up')
      await command('ip', '-n', name, 'link', 'set', 'lo', 'up')
    }
    // That all of it works is known before it is needed.
    await (
      await this.block([{ from: this.#hosts[0]!, to: this.#hosts[1]!, how: 'reset', port: 1 }])
    )()
    await (
      await this.lose(this.#hosts[0]!, 0.5)
    )()
    await this.#mountable()
  }

  async #mountable(): Promise<void> {
    const disk = await this.disk('probe', 1)
    await command('umount', disk.path)
    this.#mounted.pop()
  }

  address(host: string): string {
    return `${this.#net}.${this.#hosts.indexOf(host) + 1}`
  }

  enter(host: string): readonly string[] {
    // Not `ip netns exec`: that also gives it mounts of its own, and then it counts as another machine.
    return ['nsenter', `--net=/run/netns/${namespaceOf(process.pid, host)}`, '--']
  }

  async disk(name: string, mib: number): Promise<Disk> {
    const place = path.join(this.#directory, name)
    mkdirSync(place, { recursive: true })
    await command('mount', '-t', 'tmpfs', '-o', `size=${mib}m,mode=755`, 'tmpfs', place)
    this.#mounted.push(place)
    const filler = path.join(place, '.full')
    return {
      path: place,
      async fill() {
        fillUp(filler)
        return async () => rmSync(filler, { force: true })
      },
    }
  }

  async block(blocks: readonly Block[]): Promise<Mend> {
    return this.#rules(
      blocks.map(({ from, to, how, port }) => [
        to,
        [
          '-s',
          this.address(from),
          ...(port !== undefined || how === 'reset' ? ['-p', 'tcp'] : []),
          ...(port === undefined ? [] : ['-m', 'multiport', '--ports', String(port)]),
          // A reset itself gets through: the other side's rule must not swallow it.
          ...(how === 'reset' ? ['!', '--tcp-flags', 'RST', 'RST'] : []),
          ...(how === 'reset' ? ['-j', 'REJECT', '--reject-with', 'tcp-reset'] : ['-j', 'DROP']),
        ],
      ]),
    )
  }

  lose(host: string, share: number): Promise<Mend> {
    const chance = ['-m', 'statistic', '--mode', 'random', '--probability', String(share)]
    return this.#rules([[host, ['-i', 'eth0', ...chance, '-j', 'DROP']]])
  }

  async #rules(rules: readonly (readonly [host: string, rule: readonly string[]])[]): Promise<Mend> {
    const tables = (operation: string) =>
      Promise.all(
        rules.map(([host, rule]) => command(...this.#inside(host), 'iptables', '-w', operation, 'INPUT', ...rule)),
      )
    await tables('-A')
    return async () => {
      await tables('-D')
    }
  }

  async slow(host: string, kbit: number): Promise<Mend> {
    const device = ['dev', 'eth0', 'root'] as const
    const shape = ['tbf', 'rate', `${kbit}kbit`, 'burst', '16kb', 'latency', '400ms']
    await command(...this.#inside(host), 'tc', 'qdisc', 'replace', ...device, ...shape)
    return async () => {
      await command(...this.#inside(host), 'tc', 'qdisc', 'del', ...device)
    }
  }

  #inside(host: string): [string, ...string[]] {
    return ['ip', 'netns', 'exec', namespaceOf(process.pid, host)]
  }

  async heal(): Promise<void> {
    for (const host of this.#hosts) {
      await command(...this.#inside(host), 'iptables', '-w', '-F')
      await tryCommand(...this.#inside(host), 'tc', 'qdisc', 'del', 'dev', 'eth0', 'root')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of this.#hosts) await removeNamespace(namespaceOf(process.pid, host))
    await tryCommand('ip', 'link', 'del', bridgeOf(process.pid))
    for (const place of this.#mounted) await tryCommand('umount', '-l', place)
  }
}

/** With whatever still runs in it. */
export async function removeNamespace(name: string): Promise<void> {
  const inside = (await tryCommand('ip', 'netns', 'pids', name)) ?? ''
  for (const line of inside.split('\n')) if (line !== '') await tryCommand('kill', '-KILL', line)
  await tryCommand('ip', 'netns', 'del', name)
}

/** Until not one byte more fits. */
function fillUp(file: string): void {
  const descriptor = openSync(file, 'w')
  try {
    for (let size = fillMib; size >= 1; size = Math.floor(size / 16)) {
      const zeros = Buffer.alloc(size)
      for (;;) if (writeSync(descriptor, zeros) < size) break
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    return
  } finally {
    closeSync(descriptor)
  }
}
