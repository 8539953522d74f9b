/**
 * How each kind of browser is started so that it shows one page without a screen, and leaves nothing behind. All of them take the
 * page's address as an argument, so no debugging protocol is spoken: those differ, change, and are closed in some builds.
 */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Browser } from './browsers.ts'

export type Launch = {
  readonly args: readonly string[]
  /** Over the worker's own. */
  readonly env: Readonly<Record<string, string>>
}

/** Only our own page is loaded, so there is nothing to keep out; in containers and for root it would not start otherwise. */
const chromiumFlags = [
  '--headless',
  '--no-sandbox',
  '--no-first-run',
  '--no-default-browser-check',
  '--no-proxy-server',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-breakpad',
  '--disable-crash-reporter',
  '--disable-extensions',
  '--disable-quic',
  '--disable-dev-shm-usage',
  // Without it there is no adapter on Linux, with a card or without.
  '--enable-unsafe-webgpu',
  '--enable-unsafe-swiftshader',
  '--enable-features=WebMachineLearningNeuralNetwork',
]

/** WebGPU as far as there is any; nothing else on the screen, and nobody asked over the network. */
const firefoxSettings: Readonly<Record<string, string | boolean | number>> = {
  'dom.webgpu.enabled': true,
  'gfx.webgpu.ignore-blocklist': true,
  'webgl.force-enabled': true,
  'network.proxy.type': 0,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,#no-remote-settings',
  'datareporting.policy.dataSubmissionEnabled': false,
  'datareporting.policy.firstRunURL': '',
  'toolkit.telemetry.server': '',
  'app.update.disabledForTesting': true,
  'app.normandy.enabled': false,
  'extensions.update.enabled': false,
  'browser.safebrowsing.downloads.remote.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.aboutwelcome.enabled': false,
  'browser.startup.page': 0,
  'startup.homepage_welcome_url': '',
}

/** Throws when it can't be shown a page; its message says why. `profile`: a folder of its own, empty. */
export async function launchOf(browser: Browser, profile: string, url: string): Promise<Launch> {
  switch (browser.engine) {
    case 'chromium':
      return { args: [...chromiumFlags, `--user-data-dir=${profile}`, url], env: {} }
    case 'firefox': {
      const lines = Object.entries(firefoxSettings).map(
        ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
      )
      await writeFile(path.join(profile, 'user.js'), lines.join(''))
      return { args: ['--headless', '--no-remote', '--profile', profile, url], env: firefoxEnv(profile) }
    }
    case 'webkit':
      return webkitLaunch(browser.file, profile, url)
  }
}

/** For root it does not start with somebody else's home. */
function firefoxEnv(profile: string): Record<string, string> {
  return { HOME: profile, MOZ_CRASHREPORTER_DISABLE: '1' }
}

function webkitLaunch(file: string, profile: string, url: string): Launch {
  const env = { HOME: profile, XDG_CACHE_HOME: profile, XDG_CONFIG_HOME: profile, XDG_DATA_HOME: profile }
  switch (path.basename(file)) {
    case 'cog':
      return { args: ['--platform=headless', url], env }
    case 'pw_run.sh':
      return { args: ['--headless', url], env }
    default:
      throw new Error(
        'WebKitGTK shows no page without a screen, so it was not asked; the same engine is where WPE is installed (package cog)',
      )
  }
}
