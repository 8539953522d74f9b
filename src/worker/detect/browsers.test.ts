import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { findBrowsers, type FoundBrowsers } from './browsers.ts'
import { PlantedHost } from './fixtures/planted-host.ts'
import { Remembered } from './remembered.ts'

/** Only what is planted: this machine's own browsers are no part of the test. */
async function find(host: PlantedHost): Promise<FoundBrowsers> {
  const remembered = new Remembered(host.directory, () => {})
  const found = await findBrowsers({ ...host.host(), env: { PATH: host.bin } }, remembered)
  await remembered.saved()
  return found
}

/** A program of Playwright's. */
function keep(host: PlantedHost, name: string, inside = '', script = ''): void {
  const folder = path.join(host.home, '.cache', 'ms-playwright', name)
  const file = path.join(folder, inside)
  mkdirSync(inside === '' ? folder : path.dirname(file), { recursive: true })
  writeFileSync(path.join(folder, 'INSTALLATION_COMPLETE'), '')
  if (inside !== '') writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
}

describe('findBrowsers: those that are installed', () => {
  for (const [program, answers, name, version] of [
    ['chromium', 'Chromium 156.0.7900.60 built on Debian GNU/Linux 12 (bookworm)', 'chromium', '156.0.7900.60'],
    ['chromium-browser', 'Chromium 131.0.6778.85 snap', 'chromium', '131.0.6778.85'],
    // What it is called says little.
    ['chromium', 'Google Chrome 131.0.6778.85 ', 'chrome', '131.0.6778.85'],
    ['google-chrome', 'Google Chrome 131.0.6778.85', 'chrome', '131.0.6778.85'],
    ['google-chrome-beta', 'Google Chrome 132.0.6834.15 beta', 'chrome-beta', '132.0.6834.15'],
    ['google-chrome-unstable', 'Google Chrome 133.0.6835.2 dev', 'chrome-dev', '133.0.6835.2'],
    ['google-chrome-unstable', 'Google Chrome 133.0.6835.2 unstable', 'chrome-dev', '133.0.6835.2'],
    ['chrome', 'Google Chrome for Testing 131.0.6778.33', 'chrome-for-testing', '131.0.6778.33'],
    ['microsoft-edge', 'Microsoft Edge 131.0.2903.63 ', 'edge', '131.0.2903.63'],
    ['microsoft-edge-beta', 'Microsoft Edge 132.0.2957.11 beta', 'edge-beta', '132.0.2957.11'],
    ['brave-browser', 'Brave Browser 131.1.73.91 ', 'brave', '131.1.73.91'],
    ['firefox', 'Mozilla Firefox 133.0', 'firefox', '133.0'],
    ['firefox-esr', 'Mozilla Firefox 153.7.0esr', 'firefox', '153.7.0esr'],
    ['firefox', 'Mozilla Firefox 134.0b3', 'firefox-beta', '134.0b3'],
    ['firefox-nightly', 'Mozilla Firefox 135.0a1', 'firefox-nightly', '135.0a1'],
    ['cog', '0.16.1 (WPE WebKit 2.38.6)', 'webkit', '2.38.6'],
    ['MiniBrowser', 'WebKitGTK 2.50.6 (1)', 'webkit', '2.50.6'],
  ] as const) {
    it(`takes a ${program} that answers '${answers}' for ${name}`, async () => {
      using host = new PlantedHost().program(program, `echo 'a warning'; echo '${answers}'`)
      const { browsers, finding } = await find(host)
      assert.deepEqual(
        browsers.map((one) => [one.name, one.version, path.basename(one.file)]),
        [[name, version, program]],
      )
      assert.deepEqual(finding, {
        attributes: { browsers: [name], [`browser.${name}`]: true, [`browser.${name}.version`]: version },
        unavailable: {},
      })
    })
  }

  it('lists several, each once, and a release before an extended support release', async () => {
    using host = new PlantedHost()
      .program('google-chrome-stable', 'echo Google Chrome 131.0.1')
      .program('google-chrome-beta', 'echo Google Chrome 132.0.1 beta')
      .program('chromium', 'echo Chromium 130.0.1')
      .program('firefox', 'echo Mozilla Firefox 133.0')
      .program('firefox-esr', 'echo Mozilla Firefox 128.5.0esr')
    symlinkSync(path.join(host.bin, 'google-chrome-stable'), path.join(host.bin, 'google-chrome'))
    const { finding } = await find(host)
    assert.deepEqual(finding.attributes?.['browsers'], ['chrome', 'chrome-beta', 'chromium', 'firefox', 'firefox-esr'])
    assert.equal(finding.attributes?.['browser.firefox.version'], '133.0')
  })

  it('finds Chrome and Edge where their makers put them', async () => {
    using host = new PlantedHost()
    host.executable('/opt/google/chrome-beta/chrome', 'echo Google Chrome 132.0.1 beta')
    host.executable('/opt/microsoft/msedge/msedge', 'echo Microsoft Edge 131.0.1')
    assert.deepEqual((await find(host)).finding.attributes?.['browsers'], ['chrome-beta', 'edge'])
  })

  for (const [what, script, why] of [
    [
      'is a stub that says what to install',
      'echo "Command \'/usr/bin/chromium-browser\' requires the chromium snap to be installed." >&2; exit 1',
      "chromium-browser ended with 1: Command '/usr/bin/chromium-browser' requires the chromium snap to be installed.",
    ],
    ['answers nothing', 'exit 0', "chromium-browser answered '', which no browser known to Muster does"],
    ['answers rubbish', 'echo hello', "chromium-browser answered 'hello', which no browser known to Muster does"],
  ] as const) {
    it(`says why not when a program ${what}`, async () => {
      using host = new PlantedHost().program('chromium-browser', script)
      const { browsers, finding } = await find(host)
      assert.deepEqual(browsers, [])
      assert.equal(finding.unavailable?.['browser.chromium-browser'], why)
    })
  }

  it('says when there are none', async () => {
    using host = new PlantedHost()
    assert.deepEqual((await find(host)).finding.unavailable, {
      browser: "none on PATH, and none in Playwright's cache",
    })
  })
})

describe("findBrowsers: Playwright's", () => {
  it('lists revisions, without downloads that were broken off, and takes the newest that has a program', async () => {
    using host = new PlantedHost()
    keep(host, 'chromium-1200', 'chrome-linux64/chrome', 'echo Google Chrome for Testing 143.0.7499.4')
    keep(host, 'chromium-999', 'chrome-linux/chrome', 'echo Chromium 99.0.1')
    keep(host, 'chromium_headless_shell-1200')
    keep(host, 'firefox-1490', 'firefox/firefox')
    writeFileSync(
      path.join(host.home, '.cache/ms-playwright/firefox-1490/firefox/application.ini'),
      '[App]\nName=Firefox\nVersion=144.0.2\n',
    )
    keep(host, 'webkit-2203', 'pw_run.sh', 'exit 1')
    keep(host, 'ffmpeg-1011')
    mkdirSync(path.join(host.home, '.cache/ms-playwright/firefox-1500'))
    const { browsers, finding } = await find(host)
    assert.deepEqual(finding, {
      attributes: {
        browsers: ['chromium', 'firefox', 'webkit'],
        'browser.chromium': true,
        'browser.chromium.playwright': ['999', '1200'],
        'browser.chromium.version': '143.0.7499.4',
        'browser.firefox': true,
        'browser.firefox.playwright': ['1490'],
        'browser.firefox.version': '144.0.2',
        'browser.webkit': true,
        'browser.webkit.playwright': ['2203'],
        'browser.webkit.version': undefined,
      },
      unavailable: {},
    })
    assert.deepEqual(
      browsers.map(({ engine, file }) => [engine, path.basename(file)]),
      [
        ['chromium', 'chrome'],
        ['firefox', 'firefox'],
        ['webkit', 'pw_run.sh'],
      ],
    )
  })

  it('counts after what is installed', async () => {
    using host = new PlantedHost().program('firefox', 'echo Mozilla Firefox 133.0')
    keep(host, 'firefox-1490', 'firefox/firefox')
    const { browsers, finding } = await find(host)
    assert.deepEqual(
      browsers.map(({ file }) => file),
      [path.join(host.bin, 'firefox')],
    )
    assert.deepEqual(finding.attributes?.['browser.firefox.playwright'], ['1490'])
  })

  it('says so when it has no program that is known', async () => {
    using host = new PlantedHost()
    keep(host, 'webkit-2203')
    const { finding } = await find(host)
    assert.equal(finding.unavailable?.['browser.webkit'], "Playwright's has no program that Muster knows")
  })
})
