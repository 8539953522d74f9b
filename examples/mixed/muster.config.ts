/**
 * Two suites that no framework adapter knows: shell scripts whose exit code is the result, and a
 * home-grown tool that takes files and writes JUnit XML. Run one with `muster run --suite scripts`.
 */
import { defineConfig } from 'muster'

export default defineConfig({
  suites: [
    {
      name: 'scripts',
      discover: ['checks/*.sh'],
      run: ['sh', '{files}'],
      results: 'exit-code',
    },
    {
      name: 'api',
      discover: ['api/*.check.mjs'],
      run: ['node', 'tools/run-checks.mjs', '{junit}', '{files}'],
      results: 'junit',
    },
  ],
})
