/**
 * pytest (7 and newer). Both listing and running start the project's own pytest with the user's own
 * arguments plus one plugin, `muster_pytest`, which does the rest from inside (see there): it lists without
 * importing tests, keeps a batch to its files, and writes events to descriptor 3.
 *
 * pytest uses one CPU unless the project itself uses pytest-xdist, which then gets the granted CPUs.
 */
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { MusterError } from '../../protocol/errors.ts'
import { capture, lastWords } from '../capture.ts'
import type {
  BatchCommand,
  BatchReader,
  BatchRequest,
  BatchSink,
  Detection,
  Listing,
  ListRequest,
  ProcessExit,
  Project,
  Runner,
} from '../runner.ts'
import { findPython } from './python.ts'
import { findSign } from './signs.ts'

const versionMin = 7

export const pytestRunner: Runner = {
  framework: 'pytest',
  detect,
  list,
  command,
  refusedArgs: {
    '-x': '--max-failures 1',
    '--exitfirst': '--max-failures 1',
    '--maxfail': '--max-failures',
    '--lf': '--last-failed',
    '--last-failed': '--last-failed',
    '--sw': '--max-failures 1',
    '--stepwise': '--max-failures 1',
    '--co': '--dry-run',
    '--collect-only': '--dry-run',
    '--pdb': 'pytest itself',
    '--trace': 'pytest itself',
  },
}

async function detect(project: Project): Promise<Detection | undefined> {
  const sign = await findSign(project)
  if (sign === undefined) return undefined
  const python = await findPython(project)
  const found = { framework: 'pytest', version: python?.pytest ?? '', ...sign } as const
  if (python === undefined)
    return { ...found, problem: 'no Python was found: install Python 3.8 or newer, then pytest' }
  const entry = python.executable
  const install = `${entry} -m pip install 'pytest>=7'`
  if (python.pytest === undefined) {
    return {
      ...found,
      entry,
      problem: `no Python with pytest was found: run ${install}, or activate the environment that has it`,
    }
  }
  if (Number.parseInt(python.pytest, 10) < versionMin) {
    return {
      ...found,
      entry,
      problem: `pytest ${python.pytest} (${python.origin}) is too old, 7 or newer is needed: run ${install}`,
    }
  }
  return { ...found, entry }
}

async function list(request: ListRequest): Promise<Listing> {
  const { project, detection, paths, args } = request
  const folder = await mkdtemp(path.join(tmpdir(), 'muster-pytest-'))
  try {
    const output = path.join(folder, 'listing.json')
    const env = await preparePlugin(project, folder, { mode: 'list', output })
    const argv = [
      await pythonOf(project, detection),
      '-m',
      'pytest',
      '-p',
      'muster_pytest',
      '--collect-only',
      '-q',
      ...args,
      ...paths,
    ]
    const answer = await capture(argv, { cwd: project.cwd, env: { ...project.env, ...env }, signal: request.signal })
    // 5: nothing collected, which is what the plugin makes of every file. 1: some plugin's check. The rest is pytest's complaint.
    if (![0, 1, 5].includes(answer.code ?? -1) || !existsSync(output)) {
      throw new MusterError(
        'framework_failed',
        `pytest could not list its tests (exit code ${answer.code}):\n${lastWords(answer)}`,
        {
          hint: `The same without Muster: ${argv[0]} -m pytest --collect-only ${[...args, ...paths].join(' ')}`.trim(),
        },
      )
    }
    return JSON.parse(await readFile(output, 'utf8')) as Listing
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function command(request: BatchRequest): Promise<BatchCommand> {
  const { project, detection, files, complete, paths, args, cpus, tempDir } = request
  const progress = path.join(tempDir, 'collecting')
  const env = await preparePlugin(project, tempDir, { mode: 'batch', files, cpus, complete, progress })
  return {
    argv: [await pythonOf(project, detection), '-m', 'pytest', '-p', 'muster_pytest', ...args, ...paths],
    env,
    cleanExitCodes: [5],
    reader: (sink) => new ExitReader(sink, progress, files),
  }
}

/** Puts the plugin into the folder, with its order, and returns the environment that leads pytest there. */
async function preparePlugin(project: Project, folder: string, order: object): Promise<Record<string, string>> {
  // A copy of its own per process: Python writes its byte code beside it, and Muster may be installed read-only.
  for (const name of ['muster_pytest.py', 'muster_pytest_report.py']) {
    await copyFile(path.join(import.meta.dirname, name), path.join(folder, name))
  }
  const orderFile = path.join(folder, 'order.json')
  const before = project.env['PYTHONPATH']
  await writeFile(orderFile, JSON.stringify({ ...order, pythonPath: before ?? null }))
  const pythonPath = before === undefined || before === '' ? folder : `${folder}${path.delimiter}${before}`
  return { MUSTER_PYTEST: orderFile, PYTHONPATH: pythonPath }
}

/** The detected Python, or, on a host where it isn't, this host's own. */
async function pythonOf(project: Project, detection: Detection): Promise<string> {
  if (detection.entry !== undefined && existsSync(detection.entry)) return detection.entry
  const python = await findPython(project)
  if (python?.pytest !== undefined) return python.executable
  throw new MusterError('tool_missing', `Cannot run pytest: expected a Python with pytest on this host, found none`, {
    hint: 'Install pytest there, or give the suite a set-up command that does.',
  })
}

/** Events come through descriptor 3; what is left is a process that ended while it imported a file. */
class ExitReader implements BatchReader {
  readonly #sink: BatchSink
  readonly #progress: string
  readonly #files: ReadonlySet<string>

  constructor(sink: BatchSink, progress: string, files: readonly string[]) {
    this.#sink = sink
    this.#progress = progress
    this.#files = new Set(files)
  }

  async exit(exit: ProcessExit): Promise<void> {
    if (exit.code === 4) {
      this.#sink.event({
        type: 'error',
        error: { message: 'pytest refused its arguments or configuration; see its output' },
      })
    }
    if (!existsSync(this.#progress)) return
    const [file = ''] = (await readFile(this.#progress, 'utf8')).split('\n')
    if (this.#files.has(file)) this.#sink.event({ type: 'file-start', file })
  }
}
