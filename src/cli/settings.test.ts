import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { defaultOverloadLimits } from '../coordinator/overload.ts'
import { defaultSessionTimes } from '../coordinator/worker-sessions.ts'
import { defaultLimits } from '../core/limits.ts'
import { noShares } from '../core/shares.ts'
import { isMusterError } from '../protocol/errors.ts'
import { readSettings } from './settings.ts'

function withFile<T>(text: string | undefined, use: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'muster-settings-'))
  try {
    if (text !== undefined) writeFileSync(join(directory, 'coordinator.json'), text)
    return use(directory)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

describe('readSettings', () => {
  test('gives the defaults without a file, and what the file says on top of them', () => {
    assert.deepEqual(withFile(undefined, readSettings), {
      limits: defaultLimits,
      times: defaultSessionTimes,
      overload: defaultOverloadLimits,
      shares: noShares,
      plugins: [],
    })
    const settings = withFile('{"limits": {"lostRetriesMax": 5}, "times": {"leaseMs": 30000}}', readSettings)
    assert.deepEqual(settings.limits, { ...defaultLimits, lostRetriesMax: 5 })
    assert.equal(settings.times.leaseMs, 30_000)
    const rules = '{"project:web": {"weight": 2, "cpus": 16, "gpus": 0, "cpuHours": 0.5}, "user:*": {"cpus": 8}}'
    assert.deepEqual(
      [...withFile(`{"shares": ${rules}}`, readSettings).shares],
      [
        ['project:web', { weight: 2, cpus: 16, gpus: 0, cpuHours: 0.5 }],
        ['user:*', { cpus: 8 }],
      ],
    )
  })

  const wrong: [string, RegExp][] = [
    ['{', /expected JSON/],
    ['[]', /the file .*expected an object, received \[\]/],
    ['{"limit": {}}', /Cannot use limit .*expected one of limits, times, overload, shares, plugins, received "limit"/],
    ['{"plugins": "./mine.ts"}', /Cannot use plugins .*expected a list of files and packages/],
    ['{"limits": 3}', /Cannot use limits .*expected an object, received 3/],
    ['{"limits": {"lostRetries": 3}}', /Cannot use limits.lostRetries .*expected one of lostRetriesMax/],
    ['{"shares": []}', /Cannot use shares .*expected an object, received \[\]/],
    ['{"shares": {"web": {}}}', /Cannot use shares\["web"\] .*expected project:NAME, user:NAME/],
    ['{"shares": {"user:a": {"cpu": 1}}}', /shares\["user:a"\]\.cpu .*expected one of weight, cpus, gpus, cpuHours/],
    ['{"shares": {"user:a": {"cpus": 0}}}', /shares\["user:a"\]\.cpus .*at least 1, received 0/],
    ['{"shares": {"user:a": {"weight": 0}}}', /shares\["user:a"\]\.weight .*a number above 0, received 0/],
    ['{"times": {"leaseMs": "10s"}}', /Cannot use times.leaseMs .*at least 1, received "10s"/],
  ]
  for (const [text, message] of wrong) {
    test(`refuses ${text}`, () => {
      assert.throws(
        () => withFile(text, readSettings),
        (error) => isMusterError(error) && error.code === 'config_invalid' && message.test(error.message),
      )
    })
  }

  test('docs/reference/limits.md names every key with its default', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/reference/limits.md'), 'utf8')
    for (const [key, value] of Object.entries({ ...defaultLimits, ...defaultSessionTimes, ...defaultOverloadLimits })) {
      assert.match(page, new RegExp(`\\| \`${key}\` \\| ${String(value).replace(/\B(?=(\d{3})+$)/g, ' ')} \\|`), key)
    }
  })
})
