/**
 * The cluster under test: three hosts with an etcd member and a coordinator each, hosts with a worker
 * each, all of them programs as a user would start them. Knows how to start, ask and end them; what befalls
 * them is faults.ts.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { defaultLimits, type Limits } from '../../core/limits.ts'
import { etcdProgram } from '../../log/fixtures/etcd-cluster.ts'
import type { HealthView } from '../../protocol/api.ts'
import { ask, type Answer, type Asked } from './ask.ts'
import type { Disk, Ground } from './ground.ts'
import { clientHost, coordinatorHosts, workerHosts } from './plan.ts'
import { MemberProcess } from './member-process.ts'

const repository = path.resolve(import.meta.dirname, '..', '..', '..')
export const muster = path.join(repository, 'bin', 'muster')
const [coordinatorPort, etcdPort, peerPort] = [7357, 2379, 2380]
export const etcdPorts = { log: etcdPort, etcd: peerPort } as const

const serves = /muster coordinator at/
const joined = /joined/

/** Programs start at the same time, on a machine that has other things to do. */
const patienceMs = 120_000

/** Short, so that a round sees a lease run out; breakers and recoveries return within a round's bound. */
const settings: { readonly limits: Partial<Limits>; readonly times: { heartbeatMs: number; leaseMs: number } } = {
  limits: {
    lostRetriesMax: 12,
    avoidWaitMs: 3000,
    recycleMaxMs: 8000,
    workerBreakerCoolDownMs: 3000,
    classBreakerCoolDownMs: 3000,
    breakerCoolDownMaxMs: 6000,
  },
  times: { heartbeatMs: 500, leaseMs: 6000 },
}
export const limits: Limits = { ...defaultLimits, ...settings.limits }

type Member = { readonly program: MemberProcess; readonly host: string; readonly disk: Disk }

export class Cluster implements AsyncDisposable {
  readonly ground: Ground
  readonly root: string
  readonly blobs: string
  /** By name: `c1`, `m1`, `w1` and so on. */
  readonly members = new Map<string, Member>()
  tokens: { readonly client: string; readonly worker: string } = { client: '', worker: '' }

  constructor(ground: Ground, root: string) {
    this.ground = ground
    this.root = root
    this.blobs = path.join(root, 'blobs')
  }

  async start(): Promise<void> {
    for (const name of ['tmp', 'home', 'run', 'blobs', 'logs']) mkdirSync(path.join(this.root, name))
    const program = await etcdProgram()
    for (const host of coordinatorHosts) await this.#addEtcd(program, host)
    for (const host of coordinatorHosts) this.program(`m${host[1]!}`).start()
    await this.#until(() => this.#etcdLeader(), 'etcd')
    for (const host of coordinatorHosts) await this.#addCoordinator(host)
    await this.#begun('c1')
    this.tokens = JSON.parse(
      readFileSync(path.join(this.root, 'disks', 'c1', 'tokens.json'), 'utf8'),
    ) as typeof this.tokens
    await Promise.all(['c2', 'c3'].map((name) => this.#begun(name)))
    for (const host of workerHosts) await this.#addWorker(host)
    await Promise.all(
      workerHosts.map(async (name) => {
        this.program(name).start()
        await this.program(name).says(joined, patienceMs)
      }),
    )
  }

  async #begun(name: string): Promise<void> {
    this.program(name).start()
    await this.program(name).says(serves, patienceMs)
  }

  async #add(name: string, host: string, { mib, argv, env = {}, serves: says }: Program): Promise<void> {
    const disk = await this.ground.disk(name, mib)
    const program = new MemberProcess({
      name,
      argv: argv(disk.path),
      enter: this.ground.enter(host),
      cwd: this.root,
      env: { ...this.environment(disk.path), ...env },
      words: path.join(this.root, 'logs', `${name}.txt`),
      ...(says === undefined ? {} : { serves: says }),
    })
    this.members.set(name, { program, host, disk })
  }

  async #addEtcd(program: string, host: string): Promise<void> {
    const url = (of: string, port: number) => `http://${this.ground.address(of)}:${port}`
    const peers = coordinatorHosts.map((one) => `m${one[1]!}=${url(one, peerPort)}`).join(',')
    const argv = (disk: string) =>
      [
        [program],
        ['--name', `m${host[1]!}`, '--data-dir', path.join(disk, 'data'), '--log-level', 'warn'],
        ['--listen-client-urls', url(host, etcdPort), '--advertise-client-urls', url(host, etcdPort)],
        ['--listen-peer-urls', url(host, peerPort), '--initial-advertise-peer-urls', url(host, peerPort)],
        ['--initial-cluster', peers, '--initial-cluster-token', path.basename(this.root)],
        ['--heartbeat-interval', '50', '--election-timeout', '500', '--unsafe-no-fsync'],
      ].flat()
    await this.#add(`m${host[1]!}`, host, { mib: 400, argv })
  }

  async #addCoordinator(host: string): Promise<void> {
    const name = `c${host[1]!}`
    const listen = `${this.ground.address(host)}:${coordinatorPort}`
    const argv = (disk: string) =>
      [
        [muster],
        ['serve', '--listen', listen, '--data', disk, '--name', name],
        ['--cluster', this.etcdUrl, '--blobs', this.blobs],
      ].flat()
    await this.#add(name, host, { mib: 128, argv, serves })
    const { disk } = this.members.get(name)!
    writeFileSync(path.join(disk.path, 'coordinator.json'), JSON.stringify(settings))
  }

  async #addWorker(host: string): Promise<void> {
    const join = ['worker', '--join', this.urls.join(','), '--token', this.tokens.worker]
    const temporary = path.join(this.root, 'disks', host, 'tmp')
    const argv = (disk: string) => [muster, ...join, '--name', host, '--data', disk, '--cpus', '2']
    await this.#add(host, host, { mib: 256, argv, env: { TMPDIR: temporary }, serves: joined })
    mkdirSync(temporary)
  }

  /** Of a program that keeps its data there. */
  environment(data: string): Record<string, string> {
    return {
      PATH: `${path.join(repository, 'node_modules', '.bin')}:${process.env['PATH'] ?? '/usr/bin:/bin'}`,
      LANG: 'C.UTF-8',
      HOME: path.join(this.root, 'home'),
      TMPDIR: path.join(this.root, 'tmp'),
      XDG_RUNTIME_DIR: path.join(this.root, 'run'),
      MUSTER_DATA: data,
      MUSTER_DETECT: 'none',
      ...(process.env['MUSTER_ETCD'] === undefined ? {} : { MUSTER_ETCD: process.env['MUSTER_ETCD'] }),
    }
  }

  get etcdUrl(): string {
    return `etcd://${coordinatorHosts.map((host) => `${this.ground.address(host)}:${etcdPort}`).join(',')}/chaos`
  }

  get coordinators(): readonly string[] {
    return coordinatorHosts.map((host) => `c${host[1]!}`)
  }

  get urls(): readonly string[] {
    return this.coordinators.map((name) => this.url(name))
  }

  url(coordinator: string): string {
    return `http://${this.ground.address(`h${coordinator[1]!}`)}:${coordinatorPort}`
  }

  get enterClient(): readonly string[] {
    return this.ground.enter(clientHost)
  }

  program(name: string): MemberProcess {
    return this.member(name).program
  }

  member(name: string): Member {
    const member = this.members.get(name)
    if (!member) throw new Error(`no ${name} in this cluster`)
    return member
  }

  /** From outside: no fault is between. */
  ask<T>(coordinator: string, path: string, asked: Asked = {}): Promise<Answer<T>> {
    return ask<T>(`${this.url(coordinator)}/api/v1${path}`, this.tokens.client, asked)
  }

  /** Who leads now, as the one with the highest epoch says. */
  async leader(): Promise<string | undefined> {
    const said = await Promise.all(
      this.coordinators.map(async (name) => {
        const answer = await this.ask<HealthView>(name, '/health', { withinMs: 700 }).catch(() => undefined)
        return answer?.status === 200 && answer.body.role === 'leader' ? { name, epoch: answer.body.epoch } : undefined
      }),
    )
    return said.filter((one) => one !== undefined).sort((a, b) => b.epoch - a.epoch)[0]?.name
  }

  /** The etcd member that leads, as a majority sees it. */
  async #etcdLeader(): Promise<string | undefined> {
    const names = coordinatorHosts.map((host) => `m${host[1]!}`)
    const said = await Promise.all(
      names.map(async (name, index) => {
        const url = `http://${this.ground.address(coordinatorHosts[index]!)}:${etcdPort}/v3/maintenance/status`
        const answer = await ask<EtcdSays>(url, '', { method: 'POST', body: {}, withinMs: 700 }).catch(() => undefined)
        return answer && { name, id: answer.body.header?.member_id, leader: answer.body.leader }
      }),
    )
    const leading = said.find((one) => one?.id !== undefined && one.id === one.leader)
    const votes = said.filter((one) => leading && one?.leader === leading.id).length
    return votes > names.length / 2 ? leading?.name : undefined
  }

  etcdLeader(): Promise<string | undefined> {
    return this.#etcdLeader()
  }

  async #until(found: () => Promise<unknown>, what: string): Promise<void> {
    const lastMs = performance.now() + patienceMs
    while ((await found()) === undefined) {
      if (performance.now() > lastMs) throw new Error(`waited ${patienceMs / 1000} s for ${what}`)
      await delay(100)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.members.values()].map(({ program }) => program.close()))
  }
}

type Program = {
  /** Size of its disk. */
  readonly mib: number
  readonly argv: (disk: string) => readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly serves?: RegExp
}
type EtcdSays = { readonly header?: { readonly member_id?: string }; readonly leader?: string }
