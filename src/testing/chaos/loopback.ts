/**
 * Hosts without root: each has a loopback address of its own, and nothing can be done to the network.
 * A full disk is a limit of file sizes, set on the processes that run there at that moment.
 */
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { command, tryCommand } from './command.ts'
import type { Disk, Ground } from './ground.ts'

export class Loopback implements Ground {
  readonly hasNetwork = false
  readonly lack: string
  readonly #hosts: readonly string[]
  readonly #directory: string

  constructor(hosts: readonly string[], directory: string, why: string) {
    this.#hosts = hosts
    this.#directory = directory
    this.lack = `no network namespaces (${why}): no partitions, no loss; full disks are limits of file sizes`
  }

  address(host: string): string {
    return `127.${64 + ((process.pid >> 8) & 63)}.${process.pid & 255}.${this.#hosts.indexOf(host) + 1}`
  }

  enter(): readonly string[] {
    return []
  }

  async disk(name: string): Promise<Disk> {
    const place = path.join(this.#directory, name)
    mkdirSync(place, { recursive: true })
    return {
      path: place,
      async fill(pids) {
        for (const pid of pids) await command('prlimit', '--pid', String(pid), '--fsize=0:unlimited')
        return async () => {
          // It may have ended of it.
          for (const pid of pids) await tryCommand('prlimit', '--pid', String(pid), '--fsize=unlimited:unlimited')
        }
      },
    }
  }

  block(): never {
    throw new Error('nothing can be done to the network here')
  }

  lose(): never {
    return this.block()
  }

  slow(): never {
    return this.block()
  }

  async heal(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
