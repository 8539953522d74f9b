/**
 * `npm run build` (and `npm pack`): JavaScript in dist/ for the published package. Node refuses to
 * strip types below node_modules, so what is installed must be JavaScript; nothing else needs this.
 *
 * tsc emits what the programs named in tsconfig.build.json reach, and rewrites the extensions of
 * imports. Two things are left to do here: copy the files that frameworks load as they are (reporters
 * and plugins in JavaScript and Python), and look after `new URL('./x.ts', import.meta.url)`, which
 * names a thread or process and which tsc doesn't see. A name that leads nowhere in dist/ stops the
 * build.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, globSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const root = path.join(import.meta.dirname, '..')
const dist = path.join(root, 'dist')

rmSync(dist, { recursive: true, force: true })
execFileSync(path.join(root, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json'], {
  cwd: root,
  // `npm pack --silent` prints the tarball's name on stdout, and nothing else may.
  stdio: ['ignore', 2, 2],
})

const assets = globSync('**/*.{mjs,cjs,js,py,sh}', {
  cwd: path.join(root, 'src'),
  exclude: (name) => ['fixtures', 'conformance', 'testing', 'node_modules', '__pycache__'].includes(name),
}).filter((file) => !/(\.test|_test)\.[a-z]+$/.test(file))
for (const asset of assets) {
  const source = path.join(root, 'src', asset)
  const target = path.join(dist, asset)
  cpSync(source, target)
  chmodSync(target, statSync(source).mode)
}

function assertInDist(file: string, name: string): void {
  const place = path.join(dist, path.dirname(file), name)
  if (place.startsWith(dist) && !existsSync(place)) {
    throw new Error(`dist/${file} names ${name}, which is not in dist; is it missing in tsconfig.build.json?`)
  }
}

const emitted = globSync('**/*.js', { cwd: dist }).filter((file) => !assets.includes(file))
for (const file of emitted) {
  const code = readFileSync(path.join(dist, file), 'utf8')
  const rewritten = code.replaceAll(
    /(new URL\(\s*['"])(\.{1,2}\/[^'"]+)(['"]\s*,\s*import\.meta\.url)/g,
    (_, before: string, target: string, after: string) => {
      const name = target.replace(/\.ts$/, '.js')
      assertInDist(file, name)
      return before + name + after
    },
  )
  // Names whose extension is computed from the file's own.
  for (const match of code.matchAll(/new URL\(\s*`(\.{1,2}\/[^`$]+?)\.?\$\{[^`]*`/g))
    assertInDist(file, `${match[1]}.js`)
  if (rewritten !== code) writeFileSync(path.join(dist, file), rewritten)
}
console.error(`dist: ${emitted.length} modules, ${assets.length} assets`)
