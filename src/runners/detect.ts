/**
 * What `muster run` would run here: a suite of `muster.config.*`, the framework that was asked for, or the
 * one framework that the project itself shows. Where the project leaves it open, nothing is guessed: the
 * error names each possibility with its reason and the flag that chooses it.
 *
 * In a repository with unit tests in one framework and end-to-end tests in another, what `npm test` starts is
 * what is meant; the rest is mentioned. Runners are imported when they are needed: one start, few of them.
 */
import { readFile, readdir } from 'node:fs/promises'
import path from 'node:path'
import { MusterError } from '../protocol/errors.ts'
import type { RetryPolicy } from '../protocol/retry-policy.ts'
import { assert } from '../stdx/assert.ts'
import { parseDuration } from '../stdx/duration.ts'
import { loadConfig } from './config.ts'
import type { LoadedConfig, SuiteConfig } from './config.ts'
import { invocationsOf } from './npm-script.ts'
import { parseRetryRule } from './retry-rule.ts'
import type { CommandSuite, Detection, FrameworkName, PackageJson, Project, Runner } from './runner.ts'

export const runnersByName: Readonly<Record<FrameworkName, () => Promise<Runner>>> = {
  vitest: async () => (await import('./vitest/runner.ts')).vitestRunner,
  jest: async () => (await import('./jest/runner.ts')).jestRunner,
  mocha: async () => (await import('./mocha/runner.ts')).mochaRunner,
  node: async () => (await import('./node-test/runner.ts')).nodeTestRunner,
  playwright: async () => (await import('./playwright/runner.ts')).playwrightRunner,
  pytest: async () => (await import('./pytest/runner.ts')).pytestRunner,
  go: async () => (await import('./go/runner.ts')).goRunner,
  command: async () => (await import('./command/runner.ts')).commandRunner,
}

/** Everything that running needs to know. */
export type Suite = {
  /** The suite's name in the configuration, or the framework's. */
  readonly name: string
  readonly runner: Runner
  readonly project: Project
  readonly detection: Detection
  /** Of the configuration; the command line's paths replace them, its arguments follow them. */
  readonly paths: readonly string[]
  readonly args: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly retries?: number
  readonly retry?: RetryPolicy
  readonly timeoutMs?: number
  readonly setup?: string
  readonly command?: CommandSuite
  /** What its files need, and in which order they and it run. */
  readonly order?: SuiteOrder
}

export type SuiteOrder = Pick<
  SuiteConfig,
  'requires' | 'rules' | 'after' | 'onDependencyFailure' | 'priority' | 'deadline' | 'admission'
>

export type DetectRequest = {
  readonly cwd: string
  readonly framework?: string
  readonly suite?: string
  readonly env: NodeJS.ProcessEnv
}

export type Detected = {
  /** All that was found, the chosen one too. */
  readonly detections: readonly Detection[]
  readonly chosen: Suite
  /** For people: what else is here. */
  readonly notices: readonly string[]
  readonly config?: LoadedConfig
}

/** Throws MusterError: framework_not_found, framework_ambiguous, tool_missing, config_invalid, workspace_invalid. */
export async function detectSuites(request: DetectRequest): Promise<Detected> {
  const framework = frameworkNamed(request.framework)
  const project = await readProject(request.cwd, request.env)
  const config = await loadConfig(project.cwd, project.entries)
  const suite = chooseSuite(config, request.suite, framework)
  const found = suite === undefined ? await inProject(project, framework) : await inSuite(project, suite, framework)
  if (found.chosen.detection.problem !== undefined) {
    const { detection } = found.chosen
    throw new MusterError(
      'tool_missing',
      `Cannot run ${detection.framework} in ${found.chosen.project.cwd}: ${detection.problem}`,
    )
  }
  return config === undefined ? found : { ...found, config }
}

/** Every framework that shows in the directory, strongest sign first; for `muster doctor`. */
export async function detectAll(project: Project): Promise<readonly Detection[]> {
  const found = await Promise.all(detectable.map(async (name) => (await runnersByName[name]()).detect(project)))
  const order = ['script', 'config', 'files']
  return found
    .filter((one) => one !== undefined)
    .toSorted((a, b) => order.indexOf(a.strength) - order.indexOf(b.strength))
}

export async function readProject(cwd: string, env: NodeJS.ProcessEnv): Promise<Project> {
  const folder = path.resolve(cwd)
  const entries = new Set(
    await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
      throw new MusterError(
        'workspace_invalid',
        `Cannot read ${folder}: expected a directory, received ${cause.code ?? cause.message}`,
        { cause },
      )
    }),
  )
  const clean = Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
  return {
    cwd: folder,
    packageJson: entries.has('package.json') ? await readPackage(folder) : undefined,
    entries,
    env: clean,
  }
}

async function readPackage(folder: string): Promise<PackageJson> {
  const file = path.join(folder, 'package.json')
  const source = await readFile(file, 'utf8')
  try {
    return JSON.parse(source.replace(/^\uFEFF/, '')) as PackageJson
  } catch (cause) {
    throw new MusterError('workspace_invalid', `Cannot read ${file}: expected JSON, ${(cause as Error).message}`, {
      cause,
    })
  }
}

const detectable = (Object.keys(runnersByName) as FrameworkName[]).filter((name) => name !== 'command')

function frameworkNamed(name: string | undefined): FrameworkName | undefined {
  if (name === undefined || Object.hasOwn(runnersByName, name)) return name as FrameworkName | undefined
  throw new MusterError('usage', `Cannot run '${name}': expected one of ${Object.keys(runnersByName).join(', ')}`)
}

function chooseSuite(
  config: LoadedConfig | undefined,
  name: string | undefined,
  framework: FrameworkName | undefined,
): (SuiteConfig & { readonly base: string }) | undefined {
  const suites = (config?.suites ?? []).map((suite) => ({ ...suite, base: path.dirname(config!.file) }))
  if (name !== undefined) {
    const found = suites.find((suite) => suite.name === name)
    if (found !== undefined) return found
    const known =
      suites.length === 0
        ? 'no configuration names a suite'
        : `there are ${suites.map((suite) => suite.name).join(', ')}`
    throw new MusterError('usage', `Cannot run the suite '${name}': ${known}`)
  }
  const fitting = framework === undefined ? suites : suites.filter((suite) => frameworkOf(suite) === framework)
  if (fitting.length <= 1) return fitting[0]
  const lines = fitting.map(
    (suite) => `  --suite ${suite.name}${suite.framework === undefined ? '' : `  (${suite.framework})`}`,
  )
  throw new MusterError(
    'framework_ambiguous',
    `${path.basename(config!.file)} has ${fitting.length} suites that fit:\n${lines.join('\n')}`,
    {
      hint: 'Name one or several of them with --suite, or run all of them with --all.',
    },
  )
}

function frameworkOf(suite: SuiteConfig): FrameworkName | undefined {
  return suite.framework ?? (suite.run === undefined ? undefined : 'command')
}

function policyOf(texts: NonNullable<SuiteConfig['retry']>): RetryPolicy {
  const rules = Object.entries(texts).map(([cause, text]) => {
    const parsed = parseRetryRule(text)
    assert('rule' in parsed, 'the configuration has been checked')
    return [cause, parsed.rule] as const
  })
  return Object.fromEntries(rules)
}

async function inSuite(
  outer: Project,
  suite: SuiteConfig & { readonly base: string },
  asked: FrameworkName | undefined,
): Promise<Omit<Detected, 'config'>> {
  const project = await readProject(path.resolve(suite.base, suite.cwd ?? '.'), { ...outer.env, ...suite.env })
  const framework = frameworkOf(suite) ?? asked
  const settings = {
    name: suite.name,
    paths: suite.paths ?? [],
    args: suite.args ?? [],
    labels: suite.labels ?? {},
    ...(suite.retries === undefined ? {} : { retries: suite.retries }),
    ...(suite.retry === undefined ? {} : { retry: policyOf(suite.retry) }),
    ...(suite.timeout === undefined ? {} : { timeoutMs: parseDuration(suite.timeout)! }),
    ...(suite.setup === undefined ? {} : { setup: suite.setup }),
    order: suite,
  }
  if (framework !== 'command') {
    const found = await inProject(project, framework)
    return { ...found, chosen: { ...found.chosen, ...settings } }
  }
  const runner = await runnersByName.command()
  const detection: Detection = {
    framework: 'command',
    version: '',
    reason: `suite '${suite.name}'`,
    strength: 'config',
  }
  const command: CommandSuite = {
    name: suite.name,
    discover: suite.discover!,
    run: suite.run!,
    results: suite.results!,
    ...(suite.env === undefined ? {} : { env: suite.env }),
  }
  return { detections: [detection], chosen: { ...settings, runner, project, detection, command }, notices: [] }
}

async function inProject(project: Project, framework: FrameworkName | undefined): Promise<Omit<Detected, 'config'>> {
  if (framework === 'command') {
    throw new MusterError(
      'framework_not_found',
      `Cannot run a command in ${project.cwd}: no suite of a muster.config.* there says which`,
    )
  }
  if (framework !== undefined) {
    const detection = await (await runnersByName[framework]()).detect(project)
    if (detection === undefined) throw notFound(project, [framework])
    return { detections: [detection], chosen: await plainSuite(project, detection), notices: [] }
  }
  const detections = await detectAll(project)
  const detection = strongest(project, detections)
  const others = detections.filter((one) => one !== detection)
  const notices = others.map((one) => `also here: ${title(one)}; run it with --framework ${one.framework}`)
  return { detections, chosen: await plainSuite(project, detection), notices }
}

async function plainSuite(project: Project, detection: Detection): Promise<Suite> {
  const runner = await runnersByName[detection.framework]()
  return { name: detection.framework, runner, project, detection, paths: [], args: [], labels: {} }
}

/** The only one with the strongest kind of sign. */
function strongest(project: Project, detections: readonly Detection[]): Detection {
  const [first] = detections
  if (first === undefined) throw notFound(project, detectable)
  let equals = detections.filter((one) => one.strength === first.strength)
  if (first.strength === 'script' && equals.length > 1) {
    // A runner looks at every test script (`test:e2e` too); `npm test` itself outweighs the others.
    const own = equals.filter((one) => invocationsOf(project, 'test', starts[one.framework]).length > 0)
    if (own.length > 0) equals = own
  }
  if (equals.length === 1) return equals[0]!
  const lines = equals.map((one) => `  --framework ${one.framework}  (${title(one)})`)
  throw new MusterError(
    'framework_ambiguous',
    `${equals.length} test frameworks were found in ${project.cwd}:\n${lines.join('\n')}`,
    {
      hint: 'Choose one with --framework, or describe each as a suite in muster.config.json and choose with --suite.',
    },
  )
}

const starts: Readonly<Record<FrameworkName, (program: string, args: readonly string[]) => boolean>> = {
  vitest: (program) => program === 'vitest',
  jest: (program) => program === 'jest',
  mocha: (program) => program === 'mocha' || program === '_mocha',
  node: (program, args) => program === 'node' && args.some((one) => one === '--test' || one.startsWith('--test-')),
  playwright: (program, args) => program === 'playwright' && args[0] === 'test',
  pytest: (program, args) => program === 'pytest' || (/^python[\d.]*$/.test(program) && args.includes('pytest')),
  go: (program, args) => program === 'go' && args[0] === 'test',
  command: () => false,
}

function title(detection: Detection): string {
  const { framework, version, reason } = detection
  return `${version === '' ? framework : `${framework} ${version}`}, ${reason}`
}

const signs: Readonly<Record<FrameworkName, string>> = {
  vitest: 'vitest (dependency, vitest.config.*)',
  jest: 'jest (dependency, jest.config.*)',
  mocha: 'mocha (dependency, .mocharc.*)',
  node: 'node:test (`node --test` in a script, test files that import it)',
  playwright: 'Playwright test (dependency, playwright.config.*)',
  pytest: 'pytest (pytest.ini, pyproject.toml, conftest.py, test_*.py)',
  go: 'go test (go.mod)',
  command: 'a suite of muster.config.*',
}

function notFound(project: Project, looked: readonly FrameworkName[]): MusterError {
  const what = looked.length === 1 ? `No sign of ${looked[0]}` : 'No test framework'
  return new MusterError(
    'framework_not_found',
    `${what} was found in ${project.cwd}: looked for ${looked.map((one) => signs[one]).join(', ')}`,
    {
      hint: 'Start in the project, name its directory with --cwd, or describe any command as a suite in muster.config.json.',
    },
  )
}
