/**
 * Starts jest's own command line with words that need not fit on one: `node entry.cjs REQUEST`, where
 * REQUEST is a JSON file `{ bin, words, cpus }` or `{ bin, words, list }`.
 *
 * `cpus` becomes `--maxWorkers`, unless the project's configuration allows fewer. `list` is the file to write
 * a listing to instead of a run: JSON `{ files, dependsOn? }`; then files that the configuration was read from are
 * noted by watching what is read and required. Loaded by the project's own Node: no dependencies.
 */
'use strict'

const fs = require('node:fs')
const { createRequire } = require('node:module')
const os = require('node:os')
const path = require('node:path')
const util = require('node:util')

const request = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))
if (request.list !== undefined) noteListing(request.list)
void main()

async function main() {
  process.env.NODE_ENV ??= 'test'
  const words = request.cpus === undefined ? request.words : forBatch(request.words, await readConfig(request.words))
  process.argv = [process.argv[0], request.bin, ...words]
  require(request.bin)
}

function forBatch(words, config) {
  const all = limitWorkers(words, request.cpus, config)
  const ownSequencer = config.testSequencer !== undefined || optionValue(words, ['--testSequencer']) !== undefined
  const manyProjects = config.projects?.length > 1 || words.some((word) => /^--projects(=|$)/.test(word))
  // Ours is Jest's own and counts. With a project's own one, a file that runs in several projects ends with its first.
  return manyProjects && !ownSequencer ? [`--testSequencer=${path.join(__dirname, 'sequencer.cjs')}`, ...all] : all
}

/**
 * Never more than the granted CPUs, and never more than the user's own limit: a suite that says
 * `maxWorkers: 1` can't stand two.
 */
function limitWorkers(words, cpus, config) {
  if (words.some((word) => word === '-i' || word === '--runInBand' || word === '--runInBand=true')) return words
  const given = optionValue(words, ['--maxWorkers', '-w'])
  const own = workers(given ?? config.maxWorkers)
  const others = words.filter(
    (word, at) => !/^(--maxWorkers|-w)(=|$)/.test(word) && words[at - 1] !== '--maxWorkers' && words[at - 1] !== '-w',
  )
  return [`--maxWorkers=${Math.min(cpus, own)}`, ...others]
}

/** `3` or `50%`. */
function workers(limit) {
  const number = Number.parseInt(limit, 10)
  if (Number.isNaN(number)) return Infinity
  if (!String(limit).endsWith('%')) return number
  return Math.max(1, Math.floor((os.availableParallelism?.() ?? os.cpus().length) * (number / 100)))
}

/** The configuration file as it is written. */
async function readConfig(words) {
  const cli = createRequire(request.bin).resolve('jest-cli')
  const { readInitialOptions } = createRequire(cli)('jest-config')
  try {
    const read = await readInitialOptions(optionValue(words, ['--config', '-c']), {
      packageRootOrConfig: path.resolve(optionValue(words, ['--rootDir']) ?? process.cwd()),
    })
    return read.config
  } catch {
    // Jest itself says better in a moment what is wrong with the configuration.
    return {}
  }
}

function optionValue(words, names) {
  for (const [at, word] of words.entries()) {
    for (const name of names) {
      if (word === name) return words[at + 1]
      if (word.startsWith(`${name}=`)) return word.slice(name.length + 1)
    }
  }
  return undefined
}

/** Jest prints the list as one line of JSON; whatever else is printed comes from the configuration. */
function noteListing(answer) {
  const read = new Set()
  const readFileSync = fs.readFileSync
  fs.readFileSync = function noted(file, ...rest) {
    if (typeof file === 'string' && file.endsWith('.json')) read.add(path.resolve(file))
    return readFileSync.call(this, file, ...rest)
  }
  const log = console.log
  console.log = (...args) => {
    const files =
      args.length === 1 && typeof args[0] === 'string' && args[0].startsWith('[') ? parseList(args[0]) : undefined
    if (files === undefined) return log.apply(console, args)
    fs.writeFileSync(answer, JSON.stringify({ files, dependsOn: dependencies(read) }))
  }
}

function parseList(text) {
  try {
    const list = JSON.parse(text)
    return Array.isArray(list) && list.every((one) => typeof one === 'string') ? list : undefined
  } catch {
    // Something that a configuration file printed.
    return undefined
  }
}

/** Undefined when an ES module had a part in it: what those import can't be seen. */
function dependencies(read) {
  const own = [__filename, request.bin, process.argv[2]]
  const found = []
  for (const file of [...Object.keys(require.cache), ...read]) {
    if (own.includes(file) || file.split(path.sep).includes('node_modules')) continue
    if (util.types.isModuleNamespaceObject(require.cache[file]?.exports)) return undefined
    found.push(file)
  }
  return [...new Set(found)]
}
