/** The command line: flags and help. Each command's code is loaded when it is used, so that help is quick. */
import { Command, CommanderError, Option } from 'commander'
import { isMusterError } from '../protocol/errors.ts'
import { several, wholeNumber } from './flags.ts'
import { packageVersion } from './places.ts'

const program = new Command('muster')
  .description('Runs any test suite over any machines, and accounts for every test.')
  .version(packageVersion(), '-V, --version')
  .helpOption('-h, --help')
  .configureHelp({ sortSubcommands: false, showGlobalOptions: false })
  .enablePositionalOptions()
  .exitOverride()

type Action = (...values: never[]) => Promise<number> | number

/** The command's result is the exit code. */
function ends(action: Action): (...values: unknown[]) => Promise<void> {
  return async (...values) => {
    process.exitCode = await (action as unknown as (...values: unknown[]) => Promise<number> | number)(...values)
  }
}

const server = () =>
  new Option(
    '--server <urls>',
    'a coordinator elsewhere, or several of one cluster: a,b,c (default: MUSTER_SERVER, else this host’s own)',
  )
const token = () => new Option('--token <token>', 'its client token (default: MUSTER_TOKEN)')
const json = () => new Option('--json', 'print JSON')
const look = (command: Command) => command.addOption(server()).addOption(token()).addOption(json())

program
  .command('run')
  .description('run a test suite')
  .usage('[paths...] [options] [-- framework arguments...]')
  .argument('[paths...]', 'test files, directories or filters, with the framework’s own meaning')
  .option('--framework <name>', 'vitest, jest, mocha, node, playwright, pytest, go or command, instead of detecting it')
  .option('--suite <name>', 'a suite of muster.config.*; may be repeated', several)
  .option('--all', 'every suite of muster.config.*, each after those that it comes after')
  .option('--cwd <dir>', 'run there')
  .option('--workers <n>', 'use at most n hosts', wholeNumber(1))
  .option('--cpus <n>', 'use at most n CPUs of each host', wholeNumber(1))
  .option('--retries <n>', 'try a failed file again up to n times (default: 0)', wholeNumber(0))
  .option(
    '--retry <cause=max,...>',
    'per cause (failed, timed-out, lost, crashed, infrastructure, all): lost=5,backoff=2s..1m,where=other-worker; may be repeated',
    several,
  )
  .option('--timeout <duration>', 'longest time one file may run, e.g. 90s, 5m (default: 30m)')
  .option(
    '--dead-letters <kinds>',
    'what leaves a dead letter: of lost, crashed, timed-out, or none (default: lost,crashed)',
  )
  .option('--max-failures <n>', 'stop after n failed tests', wholeNumber(1))
  .option('--last-failed', 'only the files that failed in the last run')
  .option('--shard <i/n>', 'the i-th of n parts of the files, i from 1')
  .option('--priority <class>', 'critical, high, normal, low, background, or a number: larger goes first (default: 0)')
  .option('--deadline <when>', 'it should be over by then: 20m, 14:00, or a time with its zone')
  .option('--admission <policy>', 'when it can’t be over by its deadline: warn or refuse (default: warn)')
  .option('--after <run[:finished]>', 'wait for this run to pass, or only to end; may be repeated', several)
  .option('--user <name>', 'whose shares it counts against; another’s only with a token that may')
  .option('--require <expression>', 'only workers for which it holds: gpu.memory >= 24GiB; may be repeated', several)
  .option(
    '--lock <name[:shared|:n]>',
    'held while tests run, by one, by sharers, or by n at most; may be repeated',
    several,
  )
  .option('--gpus <n>', 'cards for each process of the framework', wholeNumber(1))
  .option('--memory <amount>', 'memory reserved for each process of the framework, e.g. 8GiB')
  .option('--label <key=value>', 'only workers with this label; may be repeated', several)
  .option(
    '--setup <command>',
    "what installs a travelled workspace, run once per lockfile (default: by the lockfile; '' for none)",
  )
  .option('--env <name>', 'pass this environment variable to remote workers; may be repeated', several)
  .addOption(server())
  .addOption(token())
  .option('--reporter <name[=file]>', 'default, plain, dot, github, json, junit, ctrf…; may be repeated', several, [])
  .option('--json [file]', 'one JSON object at the end, to a file or stdout')
  .option('--junit <file>', 'JUnit XML')
  .option('--ctrf <file>', 'CTRF')
  .option('--no-daemon', 'coordinator and worker live and die with this run (default under CI)')
  .option('--wait-for-worker <duration>', 'how long to wait while no worker fits (default: 60s)')
  .option(
    '--wait-for-coordinator <duration>',
    'how long to wait while the coordinator is away or busy once the run has begun (default: 5m)',
  )
  .option(
    '--fallback <when>',
    'local: run on this host when no coordinator can take the run; local-when-busy: also when it is overloaded (default: none)',
  )
  .option('--pass-with-no-tests', 'exit with 0 when there are no test files')
  .option('--dry-run', 'print the plan, run nothing')
  .action(
    ends(async (paths: string[], options: { readonly suite?: readonly string[] }) => {
      const { runCommand } = await import('./commands/run.ts')
      const { suite: named = [], ...flags } = options
      const [suite] = named
      const which = named.length > 1 ? { suites: named } : suite === undefined ? {} : { suite }
      const given = flags as object as Parameters<typeof runCommand>[0]
      return runCommand({ ...given, ...which, ...splitArgs(paths) })
    }),
  )

program
  .command('rerun')
  .description('submit a run again: all its files, or only some')
  .argument('<run>', 'a run id')
  .option('--failed', 'only files that failed, timed out or were lost')
  .option('--lost', 'only files that were lost or cancelled')
  .addOption(server())
  .addOption(token())
  .option('--reporter <name[=file]>', 'as for run', several, [])
  .option('--json [file]', 'as for run')
  .option('--junit <file>', 'as for run')
  .option('--ctrf <file>', 'as for run')
  .action(ends(async (run: string, options: never) => (await import('./commands/rerun.ts')).rerunCommand(run, options)))

look(program.command('ps').description('what runs and waits')).action(
  ends(async (options: never) => (await import('./commands/look.ts')).psCommand(options)),
)
look(program.command('runs').description('recent runs'))
  .option('--limit <n>', 'how many', wholeNumber(1), 20)
  .action(ends(async (options: never) => (await import('./commands/look.ts')).runsCommand(options)))
look(program.command('show').description('one run with its files').argument('<run>', 'a run id'))
  .option('--failed', 'only its failures')
  .action(ends(async (run: string, options: never) => (await import('./commands/look.ts')).showCommand(run, options)))
program
  .command('logs')
  .description('what a run’s processes, or one of its tasks, printed')
  .argument('<run>', 'a run id')
  .argument('[task]', 'a file of the run, or its number')
  .addOption(server())
  .addOption(token())
  .action(
    ends(async (run: string, task: string | undefined, options: never) =>
      (await import('./commands/look.ts')).logsCommand(run, task, options),
    ),
  )
look(
  program
    .command('workers')
    .description('workers, what they have and do')
    .argument('[worker]', 'an id or a name: everything about this one'),
).action(
  ends(async (worker: string | undefined, options: never) =>
    (await import('./commands/workers.ts')).workersCommand(worker, options),
  ),
)
look(program.command('tests').description('tests over all runs'))
  .option('--slowest <n>', 'the n slowest (default: 20)', wholeNumber(1))
  .option('--flaky', 'those that passed after a failure, or flip')
  .option('--failed', 'those that failed most')
  .option('--project <id>', 'only of this project')
  .action(ends(async (options: never) => (await import('./commands/look.ts')).testsCommand(options)))
look(
  program
    .command('plan')
    .description('how long a suite or a run would take on fleets of several sizes, from history; nothing is run')
    .usage('[paths...] --workers 2,4,8 [options] [-- framework arguments...]')
    .argument('[paths...]', 'as for run'),
)
  .requiredOption('--workers <n,...>', 'sizes of the fleet')
  .option('--run <run>', 'plan for what this finished run did, instead of for a suite')
  .option('--cpus <n>', 'CPUs of each worker (default: as most connected workers have)', wholeNumber(1))
  .option('--speed <x,...>', 'speed of the workers in turn; 1 = the reference machine (default: 1)')
  .option('--policy <name>', 'a scheduler (default: history)')
  .option('--plugin <path>', 'a plugin that has it, as for serve; may be repeated', several)
  .option('--framework <name>', 'as for run')
  .option('--suite <name>', 'as for run')
  .option('--cwd <dir>', 'as for run')
  .option('--last-failed', 'as for run')
  .option('--shard <i/n>', 'as for run')
  .action(
    ends(async (paths: string[], options: never) => {
      const { planCommand } = await import('./commands/plan.ts')
      return planCommand({ ...(options as object as Parameters<typeof planCommand>[0]), ...splitArgs(paths) })
    }),
  )
look(program.command('replay').description('the recorded queue under another scheduler or fleet, beside what happened'))
  .option('--policy <name>', 'a scheduler (default: the one that was used)')
  .option('--plugin <path>', 'a plugin that has it, as for serve; may be repeated', several)
  .option('--from <run>', 'what was submitted from this run on')
  .option('--since <time>', 'what was submitted since then: 2h, or a time')
  .option('--log <file>', 'what a log holds that ‘muster log export’ wrote, instead of a coordinator')
  .option('--workers <n>', 'so many workers like those that were there', wholeNumber(1))
  .option('--fleet <same>', 'the workers that were there, when they were (default)')
  .option('--runs', 'each run, too')
  .action(ends(async (options: never) => (await import('./commands/replay.ts')).replayCommand(options)))
look(
  program
    .command('why')
    .description('what a run or a file waits for, until when, and what would make it sooner')
    .argument('<subject>', 'a run id, or RUN/INDEX')
    .argument('[file]', 'a file of the run, or its number'),
).action(
  ends(async (subject: string, file: string | undefined, options: never) =>
    (await import('./commands/why.ts')).whyCommand(subject, file, options),
  ),
)
look(
  program
    .command('predict')
    .description('how well durations are predicted, and by which model')
    .argument('[project]', 'only this project'),
)
  .option('--files', 'with the estimate of every file')
  .action(
    ends(async (project: string | undefined, options: never) =>
      (await import('./commands/predict.ts')).predictCommand(project, options),
    ),
  )

for (const [action, words] of [
  ['cancel', 'stop runs: nothing more is assigned, what runs is ended'],
  ['pause', 'assign no more of these runs; what runs goes on'],
  ['resume', 'go on with paused runs'],
] as const) {
  program
    .command(action)
    .description(words)
    .argument('<runs...>', 'run ids')
    .addOption(server())
    .addOption(token())
    .action(
      ends(async (runs: string[], options: never) =>
        (await import('./commands/act.ts')).actCommand(action, runs, options),
      ),
    )
}

const letters = program.command('dead-letters').description('files that got no verdict and will not be tried again')
look(letters.command('list', { isDefault: true }).description('list them, oldest first'))
  .option('--run <run>', 'only of this run')
  .option('--project <id>', 'only of this project')
  .option('--suite <name>', 'only of this suite')
  .option('--cause <cause>', 'lost, fenced, crashed, failed-to-start, unreported, timed-out, no-worker or breaker')
  .option('--limit <n>', 'how many', wholeNumber(1), 100)
  .action(ends(async (options: never) => (await import('./commands/dead-letters.ts')).listLettersCommand(options)))
look(letters.command('show').description('one with its attempts').argument('<letter>', 'its id, e.g. d7')).action(
  ends(async (id: string, options: never) =>
    (await import('./commands/dead-letters.ts')).showLetterCommand(id, options),
  ),
)
look(letters.command('replay').description('run them again, as they were submitted').argument('[letters...]', 'ids'))
  .option('--run <run>', 'all of this run that were not replayed yet')
  .option('--all', 'all that were not replayed yet')
  .option('--again', 'also those that were replayed before')
  .action(
    ends(async (ids: string[], options: never) =>
      (await import('./commands/dead-letters.ts')).replayLettersCommand(ids, options),
    ),
  )
look(letters.command('discard').description('forget them').argument('[letters...]', 'ids'))
  .option('--run <run>', 'all of this run')
  .option('--all', 'all')
  .option('--why <words>', 'the reason, for the record')
  .action(
    ends(async (ids: string[], options: never) =>
      (await import('./commands/dead-letters.ts')).discardLettersCommand(ids, options),
    ),
  )

look(
  program.command('recovery').description('what was tried after failures, how often it worked, what it cost'),
).action(ends(async (options: never) => (await import('./commands/recovery.ts')).recoveryCommand(options)))

look(program.command('shares').description('who may have how much of the fleet, and what they have now')).action(
  ends(async (options: never) => (await import('./commands/shares.ts')).sharesCommand(options)),
)

const scheduler = program
  .command('scheduler')
  .description('who decides which run gets which worker, and choosing another')
look(
  scheduler.command('list', { isDefault: true }).description('schedulers, where they are used, what went wrong'),
).action(ends(async (options: never) => (await import('./commands/scheduler.ts')).listSchedulersCommand(options)))
look(
  scheduler
    .command('show')
    .description('what is chosen for whom; or one scheduler with its configuration')
    .argument('[name]', 'a scheduler'),
).action(
  ends(async (name: string | undefined, options: never) =>
    (await import('./commands/scheduler.ts')).showSchedulerCommand(name, options),
  ),
)
look(
  scheduler
    .command('use')
    .description('from now on this one; nothing that runs is touched')
    .argument('<name>', 'a scheduler'),
)
  .option('--project <id>', 'only for runs of this project')
  .option('--config <json>', 'its configuration, or @FILE with it')
  .action(
    ends(async (name: string, options: never) =>
      (await import('./commands/scheduler.ts')).useSchedulerCommand(name, options),
    ),
  )
look(scheduler.command('reset').description('the default again, or for a project what all others have'))
  .option('--project <id>', 'only for runs of this project')
  .action(ends(async (options: never) => (await import('./commands/scheduler.ts')).resetSchedulerCommand(options)))
look(scheduler.command('stats').description('how often each was asked, what it placed, how long it took')).action(
  ends(async (options: never) => (await import('./commands/scheduler.ts')).schedulerStatsCommand(options)),
)

const breakers = program.command('breakers').description('what is left alone for a while because it kept failing')
look(breakers.command('list', { isDefault: true }).description('those that are not closed, and what failed lately'))
  .option('--all', 'also those where all is well')
  .action(ends(async (options: never) => (await import('./commands/breakers.ts')).breakersCommand(options)))
look(breakers.command('reset').description('close them').argument('[scopes...]', 'e.g. worker:ID, class:PROJECT/SUITE'))
  .option('--all', 'all of them')
  .option('--why <words>', 'the reason, for the record')
  .action(
    ends(async (scopes: string[], options: never) =>
      (await import('./commands/breakers.ts')).resetBreakersCommand(scopes, options),
    ),
  )
look(breakers.command('open').description('leave it alone until it is reset').argument('<scope>', 'e.g. worker:ID'))
  .requiredOption('--why <words>', 'the reason, for the record')
  .action(
    ends(async (scope: string, options: never) =>
      (await import('./commands/breakers.ts')).openBreakerCommand(scope, options),
    ),
  )

program
  .command('serve')
  .description('start a coordinator for other machines')
  .option('--listen <host:port>', 'where', '127.0.0.1:7357')
  .option('--data <dir>', 'its log, history, blobs and tokens')
  .option('--allow-host <name>', 'another name that clients may call it by; may be repeated', several)
  .option('--metrics-open', 'let /metrics be read without a token')
  .option('--plugin <path>', 'a plugin: a file, or a package in node_modules here; may be repeated', several)
  .option('--cluster <etcd-url>', 'one of several coordinators: etcd://HOST:PORT,HOST:PORT[/PREFIX]; etcds:// for TLS')
  .option('--blobs <place>', 'with --cluster: a directory that all see, or s3://BUCKET/PREFIX')
  .option('--advertise <url>', 'with --cluster: where others reach this one; default from --listen')
  .option('--name <name>', 'with --cluster: what people call it; default the host’s name')
  .option('--etcd-ca <file>', 'authority that signed etcd’s certificate')
  .option('--etcd-cert <file>', 'certificate to show to etcd')
  .option('--etcd-key <file>', 'its key')
  .option('--etcd-user <name>', 'user of etcd; the password comes from MUSTER_ETCD_PASSWORD')
  .action(ends(async (options: never) => (await import('./commands/serve.ts')).serveCommand(options)))
const cluster = program.command('cluster').description('the coordinators of a cluster')
look(
  cluster.command('status', { isDefault: true }).description('who leads, how the others stand, log and blobs'),
).action(ends(async (options: never) => (await import('./commands/cluster.ts')).clusterStatusCommand(options)))
look(cluster.command('transfer').description('hand leadership to another coordinator'))
  .option('--to <member>', 'which, by id or name; default the one that is furthest')
  .action(ends(async (options: never) => (await import('./commands/cluster.ts')).clusterTransferCommand(options)))
program
  .command('worker')
  .description('run tests for a coordinator')
  .option(
    '--join <url>',
    'the coordinator, or several of one cluster: a,b,c; may be repeated (default: MUSTER_SERVER, else this host’s own)',
    several,
  )
  .option('--token <token>', 'its worker token (default: MUSTER_TOKEN)')
  .option('--label <key=value>', 'what runs can ask for; may be repeated', several)
  .option('--cpus <n>', 'offer n CPUs instead of all', wholeNumber(1))
  .option('--resource <name=count>', 'something counted that tests take and give back; may be repeated', several)
  .option('--name <name>', 'what people see (default: the host’s name)')
  .option('--data <dir>', 'its workspaces and their cache')
  .addOption(
    new Option('--log <format>', 'what it says on stderr, as lines of').choices(['text', 'json']).default('text'),
  )
  .option('--detect', 'print what this machine has, and join nobody')
  .addOption(json())
  .addOption(new Option('--bound').hideHelp())
  .addOption(new Option('--orphan-timeout <duration>').hideHelp())
  .action(ends(async (options: never) => (await import('./commands/worker.ts')).workerCommand(options)))
const log = program
  .command('log')
  .description('a coordinator’s log as one file: backup, and moving to a cluster or back')
const withCluster = (command: Command) =>
  command
    .option('--data <dir>', 'the data directory of a coordinator')
    .option('--cluster <etcd-url>', 'of a cluster: etcd://HOST:PORT,HOST:PORT[/PREFIX]; etcds:// for TLS')
    .option('--blobs <place>', 'with --cluster: its blobs')
    .option('--etcd-ca <file>', 'whose signature etcd’s certificate must bear')
    .option('--etcd-cert <file>', 'a certificate for etcd')
    .option('--etcd-key <file>', 'its key')
    .option('--etcd-user <name>', 'a user of etcd; the password in MUSTER_ETCD_PASSWORD')
withCluster(log.command('export').description('write the log into an archive, while its coordinators run or not'))
  .option('--to <file>', 'where to (default: stdout)')
  .option('--all', 'from the first entry that is kept, not only from the newest snapshot')
  .option('--with-blobs', 'a whole backup: with blobs, private contexts and tokens. Keep the file secret')
  .option('--with-history', 'with the history’s database; the coordinator must not run')
  .action(ends(async (options: never) => (await import('./commands/log.ts')).exportCommand(options)))
withCluster(log.command('import').description('write an archive into an empty data directory or cluster'))
  .argument('<archive>', 'from muster log export')
  .action(
    ends(async (archive: string, options: never) =>
      (await import('./commands/log.ts')).importCommand(archive, options),
    ),
  )
log
  .command('verify')
  .description('check an archive, and say what is in it')
  .argument('<archive>', 'from muster log export')
  .addOption(json())
  .action(
    ends(async (archive: string, options: never) =>
      (await import('./commands/log.ts')).verifyCommand(archive, options),
    ),
  )
const accessTokens = program.command('token').description('what lets others in to a coordinator on this host')
const data = (command: Command) => command.option('--data <dir>', 'which coordinator’s')
for (const role of ['client', 'worker'] as const)
  data(accessTokens.command(role).description(`print the one for ${role}s`)).action(
    ends(async (options: never) => (await import('./commands/token.ts')).printTokenCommand(role, options)),
  )
data(
  accessTokens
    .command('user')
    .description('make and print a client token of one user’s own')
    .argument('<name>', 'whose'),
)
  .option('--on-behalf', 'it may submit for other users, too')
  .option('--days <n>', 'it ends after so many days (default: never)')
  .addOption(json())
  .action(
    ends(async (name: string, options: never) =>
      (await import('./commands/token.ts')).makeUserTokenCommand(name, options),
    ),
  )
data(accessTokens.command('list').description('those of users that are good'))
  .addOption(json())
  .action(ends(async (options: never) => (await import('./commands/token.ts')).listTokensCommand(options)))
data(
  accessTokens
    .command('revoke')
    .description('take back tokens of users, for good')
    .argument('<tokens...>', 'from muster token list, or a user: all that this one has'),
)
  .addOption(json())
  .action(
    ends(async (tokens: string[], options: never) =>
      (await import('./commands/token.ts')).revokeTokensCommand(tokens, options),
    ),
  )
program
  .command('down')
  .description('stop this user’s daemon on this host')
  .option('--force', 'also when runs are under way; they are cancelled')
  .action(ends(async (options: never) => (await import('./commands/act.ts')).downCommand(options)))
program
  .command('doctor')
  .description('what was detected here, what is missing, and how to get it')
  .option('--cwd <dir>', 'look there')
  .addOption(json())
  .action(ends(async (options: never) => (await import('./commands/doctor.ts')).doctorCommand(options)))
program
  .command('daemon', { hidden: true })
  .description('this host’s own coordinator and worker, in the background')
  .action(ends(async () => (await import('./commands/daemon.ts')).daemonCommand()))

/** What follows `--` is the framework's; commander hands over both in one list. */
function splitArgs(operands: readonly string[]): { paths: readonly string[]; args: readonly string[] } {
  const at = process.argv.indexOf('--')
  const count = at < 0 ? 0 : process.argv.length - at - 1
  return { paths: operands.slice(0, operands.length - count), args: operands.slice(operands.length - count) }
}

function fail(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (isMusterError(error)) {
    process.stderr.write(`muster: ${error.message}\n${error.hint === undefined ? '' : `  ${error.hint}\n`}`)
    if (process.env['MUSTER_DEBUG']) process.stderr.write(`${error.stack}\n`)
    return error.exitCode
  }
  if (error instanceof Error && 'code' in error && error.code === 'EPIPE') {
    process.stderr.write('muster: Nobody reads the output any more; it is not complete\n')
    return 3
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.stderr.write(`muster: this is a bug in Muster\n${text}\n`)
  return 3
}

/** What must go on though nobody reads any more what it says. */
const worksUnread = ['run', 'rerun', 'serve', 'worker', 'daemon', 'log']

function onOutputLost(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
  // As in `muster logs RUN | head`: whoever read it has seen enough.
  if (!worksUnread.includes(process.argv[2] ?? '')) process.exit()
}

process.stdout.on('error', onOutputLost)
process.stderr.on('error', onOutputLost)
try {
  if (process.argv.length <= 2) program.help()
  await program.parseAsync()
} catch (error) {
  process.exitCode = fail(error)
}
