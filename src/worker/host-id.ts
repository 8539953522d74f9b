/**
 * Which machine this is. Two processes get the same id exactly when they share a file system and a
 * process table, which is when a run may be carried out in place: so a container is a host of its own.
 */
import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import os from 'node:os'

let known: string | undefined

export function hostId(): string {
  known ??= createHash('sha256').update(marks().join('\n')).digest('hex').slice(0, 20)
  return known
}

function marks(): string[] {
  const addresses = Object.values(os.networkInterfaces()).flatMap((list) => list ?? [])
  const machine = read(() => readFileSync('/etc/machine-id', 'utf8').trim())
  const boot = read(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())
  return [
    machine,
    boot,
    // A laptop's name changes with the network it is in; it only counts where nothing else tells.
    machine === '' && boot === '' ? os.hostname() : '',
    read(() => readlinkSync('/proc/self/ns/mnt')),
    read(() => readlinkSync('/proc/self/ns/pid')),
    // Where there is no /proc, the hardware address tells machines apart.
    process.platform === 'linux'
      ? ''
      : (addresses.find((address) => !address.internal && address.mac !== '00:00:00:00:00:00')?.mac ?? ''),
  ]
}

function read(from: () => string): string {
  try {
    return from()
  } catch {
    // This mark doesn't exist on this platform; the others decide.
    return ''
  }
}
