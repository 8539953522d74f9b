/** What a session stands on: hosts with an address each, what can be done to their network, and disks that can be full. */

export type Block = {
  /** Hosts. Packets of `from` don't arrive at `to`. */
  readonly from: string
  readonly to: string
  readonly how: 'drop' | 'reset'
  /** Only TCP from or to this port. */
  readonly port?: number
}

/** Undoes it. */
export type Mend = () => Promise<void>

export interface Disk {
  readonly path: string
  /** From now on what these processes write there fails. */
  fill(pids: readonly number[]): Promise<Mend>
}

export interface Ground extends AsyncDisposable {
  /** For people: what can't be done here, and why; undefined when all can. */
  readonly lack: string | undefined
  readonly hasNetwork: boolean
  address(host: string): string
  /** What to put before a command so that it runs on that host. */
  enter(host: string): readonly string[]
  disk(name: string, mib: number): Promise<Disk>
  block(blocks: readonly Block[]): Promise<Mend>
  lose(host: string, share: number): Promise<Mend>
  slow(host: string, kbit: number): Promise<Mend>
  /** Whatever was done to the network is undone. */
  heal(): Promise<void>
}
