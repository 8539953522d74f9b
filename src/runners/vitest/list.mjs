/**
 * Asks the project's own Vitest which files it would run, as `vitest list --filesOnly` does, and which
 * configuration files that answer rests on. Arguments: vitest's `node` module, the file to write the answer
 * to, then the words of the command line.
 *
 * Answer: JSON `{ files, dependsOn? }`, all paths absolute; without dependsOn the answer must not be kept.
 */
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [api, answer, ...words] = process.argv.slice(2)
const { createVitest, parseCLI } = await import(pathToFileURL(api).href)

process.env.TEST = 'true'
process.env.VITEST = 'true'
process.env.NODE_ENV ??= 'test'

const { filter, options } = parseCLI(['vitest', 'run', ...words])
if (options.exclude !== undefined) {
  options.cliExclude = [options.exclude].flat()
  delete options.exclude
}
if (filter.some((one) => one.includes(':'))) options.includeTaskLocation ??= true
if (typeof options.typecheck?.only === 'boolean') options.typecheck.enabled ??= true

const silent = {}
const vitest = await createVitest(
  'test',
  { ...options, watch: false, run: true, passWithNoTests: true, reporters: [silent], coverage: { enabled: false } },
  {},
  { cliFilters: filter },
)
const specifications = await findSpecifications(vitest, filter.map(path.normalize))
const files = new Set(specifications.map((one) => one.moduleId ?? one[1]))
const dependsOn = findDependencies(vitest)
fs.writeFileSync(
  answer,
  JSON.stringify({ files: [...files], ...(dependsOn === undefined ? {} : { dependsOn: [...dependsOn] }) }),
)
// Closing the servers takes longer than the listing did, and nothing here needs a tidy end.
process.exit(0)

async function findSpecifications(vitest, filters) {
  if (vitest.getRelevantTestSpecifications !== undefined) return vitest.getRelevantTestSpecifications(filters)
  // Vitest 2
  return vitest.filterTestsBySource(await vitest.globTestSpecs(filters))
}

/** Undefined when more than configuration files decides. */
function findDependencies(vitest) {
  const found = new Set()
  const servers = new Set([vitest.vite ?? vitest.server])
  const configs = [vitest.config]
  for (const project of vitest.projects) {
    servers.add(project.vite ?? project.server)
    configs.push(project.config)
  }
  // Files with tests inside the source are found by reading them; changed ones by asking git.
  if (configs.some((config) => config.includeSource?.length > 0)) return undefined
  if (vitest.config.changed || vitest.config.related || options.lastFailed || options.sinceLastRun) return undefined
  // A workspace file (2 and 3) is loaded without telling what it imports.
  const workspace = vitest._workspaceConfigPath
  if (workspace !== undefined && !workspace.endsWith('.json')) return undefined
  if (workspace !== undefined) found.add(workspace)
  for (const server of servers) {
    if (server.config.configFile) found.add(path.normalize(server.config.configFile))
    for (const file of server.config.configFileDependencies ?? []) found.add(path.resolve(file))
  }
  return found
}
