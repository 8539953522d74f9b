/** `muster doctor`: what was detected here, what is missing, and how to get it. Starts nothing. */
import { readTokens } from '../../api/tokens.ts'
import { isMusterError } from '../../protocol/errors.ts'
import { detectAll, readProject } from '../../runners/detect.ts'
import { loadConfig } from '../../runners/config.ts'
import { availableCpus } from '../../worker/capabilities.ts'
import { runningDaemon } from '../connect.ts'
import { dataRoot, packageVersion, serverDirectory } from '../places.ts'

type Finding = { readonly what: string; readonly state: 'ok' | 'missing' | 'info'; readonly detail: string }

export async function doctorCommand(options: { readonly cwd?: string; readonly json?: boolean }): Promise<number> {
  const findings = [...(await suites(options.cwd ?? '.')), ...(await surroundings())]
  if (options.json) process.stdout.write(`${JSON.stringify(findings, null, 2)}\n`)
  else {
    const marks = { ok: '✓', missing: '✗', info: '·' }
    for (const { what, state, detail } of findings)
      process.stdout.write(`${marks[state]} ${what.padEnd(14)} ${detail}\n`)
  }
  return findings.some((finding) => finding.state === 'missing') ? 2 : 0
}

async function suites(cwd: string): Promise<Finding[]> {
  const project = await readProject(cwd, process.env)
  const findings: Finding[] = []
  try {
    const config = await loadConfig(project.cwd, project.entries)
    for (const suite of config?.suites ?? [])
      findings.push({ what: 'suite', state: 'ok', detail: `${suite.name} in ${config!.file}` })
  } catch (error) {
    if (!isMusterError(error)) throw error
    findings.push({ what: 'configuration', state: 'missing', detail: error.message })
  }
  const detections = await detectAll(project)
  for (const { framework, version, reason, problem } of detections) {
    if (problem === undefined) findings.push({ what: framework, state: 'ok', detail: `${version} (${reason})` })
    else findings.push({ what: framework, state: 'missing', detail: `${reason}, but ${problem}` })
  }
  if (findings.length === 0) {
    findings.push({
      what: 'framework',
      state: 'missing',
      detail: `none found in ${project.cwd}; start in the project, or describe any command as a suite in muster.config.json`,
    })
  }
  return findings
}

async function surroundings(): Promise<Finding[]> {
  const findings: Finding[] = [
    { what: 'muster', state: 'ok', detail: `${packageVersion()} on Node.js ${process.version}` },
    { what: 'CPUs', state: 'ok', detail: String(availableCpus()) },
    { what: 'data', state: 'info', detail: dataRoot() },
  ]
  try {
    await import('../../history/duckdb.ts')
    findings.push({ what: 'history', state: 'ok', detail: 'DuckDB is installed' })
  } catch (error) {
    findings.push({
      what: 'history',
      state: 'missing',
      detail: `${error instanceof Error ? error.message.split('\n')[0] : String(error)}; npm install @duckdb/node-api`,
    })
  }
  const daemon = await runningDaemon()
  if (daemon) {
    const health = await daemon.health()
    const problems = health.problems.length === 0 ? '' : `; ${health.problems.join('; ')}`
    findings.push({
      what: 'daemon',
      state: 'ok',
      detail: `pid ${health.pid}, ${health.activeRuns} active runs, ${health.workers} workers${problems}`,
    })
  } else findings.push({ what: 'daemon', state: 'info', detail: 'not running; the first muster run starts it' })
  if (readTokens(serverDirectory()))
    findings.push({ what: 'serve', state: 'info', detail: `tokens in ${serverDirectory()}` })
  return findings
}
