/**
 * Browsers that are installed: on PATH, where their makers put them, and those that Playwright keeps for itself. What a
 * program is called says little (`chromium` may be Chrome, `firefox` a beta), so each is asked, and goes by what it answers.
 */
import { existsSync } from 'node:fs'
import { readFile, realpath } from 'node:fs/promises'
import path from 'node:path'
import { ask, programOnPath } from './ask.ts'
import { namesIn, type Finding, type Host } from './probe.ts'
import type { Remembered } from './remembered.ts'
import { printOf } from './tools.ts'

export type Engine = 'chromium' | 'firefox' | 'webkit'

export type Browser = {
  /** In attributes: `browser.<name>.…` */
  readonly name: string
  readonly engine: Engine
  readonly version: string | undefined
  readonly file: string
  /** Changes when the file does. */
  readonly print: string
}

export type FoundBrowsers = { readonly browsers: readonly Browser[]; readonly finding: Finding }

const programs = (
  'chromium chromium-browser chrome google-chrome google-chrome-stable google-chrome-beta google-chrome-unstable ' +
  'google-chrome-canary microsoft-edge microsoft-edge-stable microsoft-edge-beta microsoft-edge-dev ' +
  'microsoft-edge-canary brave-browser firefox firefox-esr firefox-beta firefox-devedition firefox-nightly cog MiniBrowser'
).split(' ')

/** Where they are without being on PATH; `*` is one folder of any name. */
const places: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  linux: [
    '/opt/google/*/chrome',
    '/opt/microsoft/*/msedge',
    '/usr/lib/*/webkit2gtk-4.1/MiniBrowser',
    '/usr/lib/*/webkitgtk-6.0/MiniBrowser',
  ],
  darwin: [
    ...['Google Chrome', 'Google Chrome Beta', 'Google Chrome Dev', 'Google Chrome Canary', 'Chromium'].map(
      application,
    ),
    ...['Microsoft Edge', 'Microsoft Edge Beta', 'Microsoft Edge Dev'].map(application),
    ...['Firefox', 'Firefox Developer Edition', 'Firefox Nightly'].map((name) => application(name, 'firefox')),
  ],
}

function application(name: string, program: string | number): string {
  return `/Applications/${name}.app/Contents/MacOS/${typeof program === 'string' ? program : name}`
}

export async function findBrowsers(host: Host, remembered: Remembered): Promise<FoundBrowsers> {
  const unavailable: Record<string, string> = {}
  const browsers = new Map<string, Browser>()
  for (const file of await installed(host)) {
    const print = await printOf(file)
    if (print === undefined) continue
    try {
      const browser = named(await answerOf(host, remembered, file, print), file, print)
      // An extended support release is the one Firefox of most machines that have it.
      const other = browser.name === 'firefox' && isEsr(browser) ? browsers.get('firefox') : undefined
      if (other !== undefined && other.version === browser.version) continue
      const name = other === undefined ? browser.name : 'firefox-esr'
      if (!browsers.has(name)) browsers.set(name, { ...browser, name })
    } catch (error) {
      unavailable[`browser.${path.basename(file)}`] = (error as Error).message
    }
  }
  const attributes: Record<string, string | boolean | string[] | undefined> = {}
  const kept = await playwrightBrowsers(host)
  for (const engine of ['chromium', 'firefox', 'webkit'] as const) {
    const builds = kept.filter((one) => one.engine === engine)
    if (builds.length === 0) continue
    attributes[`browser.${engine}.playwright`] = [...new Set(builds.map((one) => one.revision))]
    if (!browsers.has(engine)) {
      const own = await playwrightBrowser(host, remembered, engine, builds)
      if (own === undefined) unavailable[`browser.${engine}`] = "Playwright's has no program that Muster knows"
      else browsers.set(engine, own)
    }
  }
  for (const { name, version } of browsers.values()) {
    attributes[`browser.${name}`] = true
    attributes[`browser.${name}.version`] = version
    delete unavailable[`browser.${name}`]
  }
  if (browsers.size === 0) unavailable['browser'] ??= "none on PATH, and none in Playwright's cache"
  return {
    browsers: [...browsers.values()],
    finding: { attributes: { browsers: [...browsers.keys()].sort(), ...attributes }, unavailable },
  }
}

/** Each program once, though several names lead to it. */
async function installed(host: Host): Promise<string[]> {
  const files = [
    ...programs.flatMap((name) => programOnPath(name, host.env['PATH']) ?? []),
    ...(await Promise.all((places[host.platform] ?? []).map((place) => filesAt(host, place)))).flat(),
  ]
  const real = new Map<string, string>()
  for (const file of files) {
    const target = await realpath(file).catch(() => file)
    if (!real.has(target)) real.set(target, file)
  }
  return [...real.values()]
}

async function filesAt(host: Host, place: string): Promise<string[]> {
  const [before = '', after] = place.split('/*/')
  if (after === undefined) return existsSync(host.root + place) ? [host.root + place] : []
  const found = (await namesIn(host, before)).map((name) => path.join(host.root + before, name, after))
  return found.filter((file) => existsSync(file))
}

async function answerOf(host: Host, remembered: Remembered, file: string, print: string): Promise<string> {
  const known = remembered.get(`browser ${file}`, print)
  if (typeof known === 'string') return known
  const question = { timeoutMs: host.askMs, env: host.env, signal: host.signal }
  const answer = (await ask(file, ['--version'], question)).trim().split('\n').at(-1) ?? ''
  remembered.set(`browser ${file}`, print, answer)
  return answer
}

const products: readonly (readonly [RegExp, Engine, string])[] = [
  [/^Google Chrome for Testing ([\d.]+)/, 'chromium', 'chrome-for-testing'],
  [/^Google Chrome ([\d.]+)(?: (beta|dev|unstable|canary))?/, 'chromium', 'chrome'],
  [/^Microsoft Edge ([\d.]+)(?: (beta|dev|canary))?/, 'chromium', 'edge'],
  [/^Brave(?: Browser)? ([\d.]+)/, 'chromium', 'brave'],
  [/^Chromium ([\d.]+)/, 'chromium', 'chromium'],
  [/^Mozilla Firefox ([\w.]+)/, 'firefox', 'firefox'],
  [/\b(?:WPE ?WebKit|WebKitGTK\+?) ([\d.]+)/, 'webkit', 'webkit'],
]

function named(answer: string, file: string, print: string): Browser {
  for (const [pattern, engine, product] of products) {
    const match = pattern.exec(answer)
    if (match === null) continue
    const version = match[1]!
    return { name: product + channelOf(engine, version, match[2]), engine, version, file, print }
  }
  throw new Error(`${path.basename(file)} answered '${answer.slice(0, 80)}', which no browser known to Muster does`)
}

/** Firefox has it in its version: 135.0b3 is a beta, 136.0a1 a nightly build. */
function channelOf(engine: Engine, version: string, said: string | undefined): string {
  if (said !== undefined) return `-${said === 'unstable' ? 'dev' : said}`
  if (engine !== 'firefox') return ''
  return /\db\d/.test(version) ? '-beta' : /\da\d/.test(version) ? '-nightly' : ''
}

function isEsr({ version }: Browser): boolean {
  return version?.endsWith('esr') === true
}

type Kept = { readonly engine: Engine; readonly revision: string; readonly folder: string }

const insides: Readonly<Record<Engine, readonly string[]>> = {
  chromium: [
    'chrome-linux/chrome',
    'chrome-linux64/chrome',
    'chrome-linux/headless_shell',
    'chrome-headless-shell-linux64/chrome-headless-shell',
    'chrome-mac/Chromium.app/Contents/MacOS/Chromium',
    'chrome-mac-arm64/Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing',
  ],
  firefox: ['firefox/firefox', 'firefox/Nightly.app/Contents/MacOS/firefox'],
  webkit: ['pw_run.sh'],
}

/** The newest build that has a program. */
async function playwrightBrowser(
  host: Host,
  remembered: Remembered,
  engine: Engine,
  builds: readonly Kept[],
): Promise<Browser | undefined> {
  for (const { folder } of builds.toReversed()) {
    for (const inside of insides[engine]) {
      const file = path.join(folder, inside)
      const print = await printOf(file)
      if (print === undefined) continue
      const version = await versionOf(host, remembered, engine, file, print)
      return { name: engine, engine, version, file, print }
    }
  }
  return undefined
}

async function versionOf(
  host: Host,
  remembered: Remembered,
  engine: Engine,
  file: string,
  print: string,
): Promise<string | undefined> {
  if (engine === 'firefox') {
    const settings = await readFile(path.join(path.dirname(file), 'application.ini'), 'utf8').catch(() => '')
    return /^Version=(\S+)$/m.exec(settings)?.[1]
  }
  // That it is there is known without its version; what it can do, its self-test says.
  const answer = await answerOf(host, remembered, file, print).catch(() => '')
  return /\d+(\.\d+)+/.exec(answer)?.[0]
}

/** Oldest revision first. A download that was broken off has no mark of completion. */
async function playwrightBrowsers(host: Host): Promise<Kept[]> {
  const root = playwrightRoot(host)
  const kept: Kept[] = []
  for (const name of await namesIn({ root: '' }, root)) {
    const [, engine, revision] = /^(chromium|firefox|webkit)(?:_headless_shell)?-(\d+)$/.exec(name) ?? []
    const folder = path.join(root, name)
    if (engine === undefined || revision === undefined || !existsSync(path.join(folder, 'INSTALLATION_COMPLETE')))
      continue
    kept.push({ engine: engine as Engine, revision, folder })
  }
  return kept.sort((a, b) => Number(a.revision) - Number(b.revision))
}

function playwrightRoot(host: Host): string {
  const own = host.env['PLAYWRIGHT_BROWSERS_PATH']
  // `0`: inside of each project, which is not this worker's business.
  if (own !== undefined && own !== '' && own !== '0') return own
  const folders: Partial<Record<NodeJS.Platform, string>> = { darwin: 'Library/Caches', win32: 'AppData/Local' }
  const cache = host.platform === 'linux' ? host.env['XDG_CACHE_HOME'] : undefined
  return path.join(cache || path.join(host.home, folders[host.platform] ?? '.cache'), 'ms-playwright')
}
