'use strict'
// Written so that any Node can parse it: an old one gets a sentence instead of a syntax error.
var fs = require('fs')
var path = require('path')

var root = path.join(__dirname, '..')
var have = process.versions.node.split('.').map(Number)
if (have[0] < 24 || (have[0] === 24 && have[1] < 12)) {
  process.stderr.write(
    'muster: needs Node.js 24.12 or newer, this is ' + process.version + ' (' + process.execPath + ').\n' +
      (fs.existsSync(path.join(root, 'src'))
        ? "Run 'npm install' in " + root + ' first: it brings the runtime along.\n'
        : 'Install a newer Node.js, or put it first in PATH.\n')
  )
  process.exit(2)
}
require('module').enableCompileCache()
var source = path.join(root, 'src', 'cli', 'main.ts')
var built = path.join(root, 'dist', 'cli', 'main.js')
import(require('url').pathToFileURL(fs.existsSync(source) ? source : built).href).catch(function (error) {
  process.stderr.write('muster: ' + (error && error.stack ? error.stack : error) + '\n')
  process.exit(3)
})
