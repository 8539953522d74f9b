/** Browsers that are installed: on PATH, and those that Playwright keeps for itself. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { namesIn, type Finding, type Host } from './probe.ts'
import type { FoundTools } from './tools.ts'

const families = ['chromium', 'firefox', 'webkit'] as const
type Family = (typeof families)[number]
type Kept = { readonly family: Family; readonly revision: string; readonly folder: string }

export async function findBrowsers(host: Host, tools: FoundTools): Promise<Finding> {
  const kept = await playwrightBrowsers(host)
  const attributes: Record<string, string | string[] | undefined> = {}
  const names = new Set<string>()
  for (const browser of ['chromium', 'chrome', 'firefox']) {
    const version = tools.versions[browser]
    if (version === undefined) continue
    names.add(browser)
    attributes[`browser.${browser}.version`] = version === 'unknown' ? undefined : version
  }
  for (const family of families) {
    const revisions = kept.filter((one) => one.family === family).map((one) => one.revision)
    if (revisions.length === 0) continue
    names.add(family)
    attributes[`browser.${family}.playwright`] = revisions
  }
  return {
    attributes: { browsers: [...names].sort(), ...attributes },
    ...(names.size === 0 ? { unavailable: { browser: "none on PATH, and none in Playwright's cache" } } : {}),
  }
}

/** One that can be started for a look at what it can do: from PATH, else Playwright's newest. */
export async function chromiumFile(host: Host, tools: FoundTools): Promise<string | undefined> {
  const onPath = tools.files['chromium'] ?? tools.files['chrome']
  if (onPath !== undefined) return onPath
  const kept = (await playwrightBrowsers(host)).filter((one) => one.family === 'chromium')
  for (const { folder } of kept.reverse()) {
    for (const inside of chromiumPaths) if (existsSync(path.join(folder, inside))) return path.join(folder, inside)
  }
  return undefined
}

const chromiumPaths = [
  'chrome-linux/chrome',
  'chrome-linux64/chrome',
  'chrome-linux/headless_shell',
  'chrome-headless-shell-linux64/chrome-headless-shell',
  'chrome-mac/Chromium.app/Contents/MacOS/Chromium',
  'chrome-mac-arm64/Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing',
]

/** Oldest revision first. A download that was broken off has no mark of completion. */
async function playwrightBrowsers(host: Host): Promise<Kept[]> {
  const root = playwrightRoot(host)
  const kept: Kept[] = []
  for (const name of await namesIn({ root: '' }, root)) {
    const [, family, revision] = /^(chromium|firefox|webkit)(?:_headless_shell)?-(\d+)$/.exec(name) ?? []
    const folder = path.join(root, name)
    if (family === undefined || revision === undefined || !existsSync(path.join(folder, 'INSTALLATION_COMPLETE')))
      continue
    const known = kept.some((one) => one.family === family && one.revision === revision)
    if (!known) kept.push({ family: family as Family, revision, folder })
  }
  return kept
}

function playwrightRoot(host: Host): string {
  const named = host.env['PLAYWRIGHT_BROWSERS_PATH']
  // `0`: inside of each project, which is not this worker's business.
  if (named !== undefined && named !== '' && named !== '0') return named
  const folders: Partial<Record<NodeJS.Platform, string>> = { darwin: 'Library/Caches', win32: 'AppData/Local' }
  const cache = host.platform === 'linux' ? host.env['XDG_CACHE_HOME'] : undefined
  return path.join(cache ?? path.join(host.home, folders[host.platform] ?? '.cache'), 'ms-playwright')
}
