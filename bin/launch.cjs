'use strict'
// Checks the Node it runs under, then loads the program: from src in a clone, from dist in an
// installed package. Written so that an old Node can parse it: it gets a sentence, not a syntax error.
var fs = require('fs')
var path = require('path')

var root = path.join(__dirname, '..')
var source = path.join(root, 'src', 'cli', 'main.ts')
var built = path.join(root, 'dist', 'cli', 'main.js')
var isClone = fs.existsSync(source)

var have = process.versions.node.split('.').map(Number)
if (have[0] < 24 || (have[0] === 24 && have[1] < 12)) {
  process.stderr.write(
    'muster: needs Node.js 24.12 or newer, this is ' +
      process.version +
      ' (' +
      process.execPath +
      ').\n' +
      (isClone
        ? "Run 'npm install' in " + root + ' first: it brings the runtime along.\n'
        : 'Install a newer Node.js, or put it first in PATH.\n'),
  )
  process.exit(2)
}
if (isClone && !fs.existsSync(path.join(root, 'node_modules'))) {
  process.stderr.write("muster: its dependencies are not here. Run 'npm install' in " + root + ' first.\n')
  process.exit(2)
}
require('module').enableCompileCache()
import(require('url').pathToFileURL(isClone ? source : built).href).catch(function (error) {
  process.stderr.write('muster: ' + (error && error.stack ? error.stack : error) + '\n')
  process.exit(3)
})
