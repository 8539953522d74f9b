/**
 * The worker's last will. A small shell process, in a session of its own, is told about every
 * process group that the worker starts. When its standard input ends, the worker is gone, however
 * it went (SIGKILL included), and the reaper ends the groups, then every process that carries the
 * worker's mark, and removes the worker's temporary directory. It sleeps in `read`: no cost.
 */
import { spawn, type ChildProcess } from 'node:child_process'

const script = `
trap '' HUP INT TERM QUIT PIPE
groups=' '
while read -r operation group; do
  case $operation in
    +) groups="$groups$group " ;;
    -) case $groups in *" $group "*) groups="\${groups%% $group *} \${groups#* $group }" ;; esac ;;
    farewell) exit 0 ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
marked() {
  case $(grep --version 2>&1) in
    # Reads environments as they are, all in one process.
    *GNU*|*BSD*) grep -lsF -- "$1" /proc/[0-9]*/environ ;;
    *)
      for environment in /proc/[0-9]*/environ; do
        if { tr '\\0' '\\n' < "$environment" | grep -qF -- "$1"; } 2>/dev/null; then echo "$environment"; fi
      done ;;
  esac
}
for round in 1 2; do
  for environment in $(marked "$1"); do
    process=\${environment#/proc/}
    kill -s KILL "\${process%/environ}" 2>/dev/null
  done
done
# Unless a new worker has taken it over.
if [ "$(cat "$2/pid" 2>/dev/null)" = "$3" ]; then mv -- "$2" "$2.$$" && rm -rf -- "$2.$$"; fi
exit 0
`

export class Reaper {
  readonly #mark: string
  readonly #tempRoot: string
  readonly #groups = new Set<number>()
  #child: ChildProcess
  #closed = false

  /** `mark`: `NAME=value` that every process of this worker has in its environment. */
  constructor(mark: string, tempRoot: string) {
    this.#mark = mark
    this.#tempRoot = tempRoot
    this.#child = this.#start()
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  add(group: number): void {
    this.#groups.add(group)
    this.#child.stdin?.write(`+ ${group}\n`)
  }

  remove(group: number): void {
    this.#groups.delete(group)
    this.#child.stdin?.write(`- ${group}\n`)
  }

  /** The worker has cleaned up itself: nothing is left to do. */
  async close(): Promise<void> {
    this.#closed = true
    const { promise, resolve } = Promise.withResolvers<void>()
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) resolve()
    else this.#child.once('close', () => resolve())
    this.#child.stdin?.end('farewell\n')
    await promise
  }

  #start(): ChildProcess {
    const child = spawn('/bin/sh', ['-c', script, 'muster-reaper', this.#mark, this.#tempRoot, String(process.pid)], {
      detached: true,
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    // A write to a reaper that somebody killed: 'exit' below starts another one, which is told everything.
    child.stdin.on('error', () => {})
    child.once('error', (error) => {
      throw new Error(`Cannot start /bin/sh as the reaper: ${error.message}`, { cause: error })
    })
    child.once('exit', () => {
      if (this.#closed) return
      this.#child = this.#start()
      for (const group of this.#groups) this.#child.stdin?.write(`+ ${group}\n`)
    })
    return child
  }
}
