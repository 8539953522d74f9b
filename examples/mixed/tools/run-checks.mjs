/**
 * A home-grown test tool: `node tools/run-checks.mjs REPORT FILE…`. Each file exports checks by
 * name; the report is JUnit XML that names the file of each check.
 */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [report, ...files] = process.argv.slice(2)
const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
const cases = []
let failed = false
for (const file of files) {
  for (const [name, check] of Object.entries(await import(pathToFileURL(path.resolve(file)).href))) {
    const startedMs = performance.now()
    let problem = ''
    try {
      await check()
    } catch (error) {
      failed = true
      problem = `<failure message="${escape(error.message)}">${escape(error.stack)}</failure>`
    }
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(3)
    cases.push(
      `<testcase file="${escape(file)}" classname="${escape(file)}" name="${escape(name)}" time="${seconds}">${problem}</testcase>`,
    )
  }
}
writeFileSync(report, `<testsuites><testsuite name="checks">${cases.join('\n')}</testsuite></testsuites>\n`)
process.exitCode = failed ? 1 : 0
