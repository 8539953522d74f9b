/**
 * Checks that share one database (here: a file). Those that write it keep everybody else out, those that only read share
 * it, on one machine or on twenty; what fills it comes first. Run it with `muster run --cwd examples/needs`.
 */
import { defineConfig } from 'muster'

export default defineConfig({
  suites: [
    {
      name: 'checks',
      discover: ['checks/*.sh'],
      run: ['sh', '{files}'],
      results: 'exit-code',
      requires: { where: 'os in [linux, darwin]' },
      rules: [
        { files: 'checks/*.sh', dependsOn: 'checks/fill.sh' },
        { files: 'checks/read-*.sh', requires: { cpus: 1, locks: [{ name: 'examples-needs-db', mode: 'shared' }] } },
        { files: 'checks/read-after.sh', dependsOn: 'checks/write.sh' },
      ],
    },
  ],
})
