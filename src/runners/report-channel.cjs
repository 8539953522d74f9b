/**
 * What the reporters that run inside a Node-based framework share: a synchronous writer of events, and
 * the translation of whatever was thrown into a TestError. It is loaded by the project's own Node, which
 * may be as old as 18, so it is plain CommonJS without dependencies.
 *
 * Synchronous on purpose: the next line of user code may end the process.
 */
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { fileURLToPath } = require('node:url')
const util = require('node:util')

/** Longer texts are cut: a report is for reading, not for storage. */
const textCharsMax = 64 * 1024
const outputCharsMax = 256 * 1024

/** `target`: a file descriptor, or the path of a file that is appended to. */
function openChannel(target) {
  const fd = typeof target === 'number' ? target : fs.openSync(target, 'a')
  return (event) => writeAll(fd, Buffer.from(`${JSON.stringify(event)}\n`))
}

function writeAll(fd, bytes) {
  let done = 0
  while (done < bytes.length) {
    try {
      done += fs.writeSync(fd, bytes, done)
    } catch (error) {
      // A full non-blocking pipe: wait for its reader.
      if (error.code === 'EAGAIN') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
      // The reader is gone, so nobody is left to tell; the tests themselves must not notice.
      else if (error.code === 'EPIPE') return
      else throw error
    }
  }
}

function cut(text, charsMax = textCharsMax) {
  return text.length <= charsMax ? text : `${text.slice(0, charsMax)}\n… ${text.length - charsMax} more characters`
}

function plain(text) {
  return util.stripVTControlCharacters(text)
}

function show(value) {
  if (typeof value === 'string') return cut(value)
  return cut(util.inspect(value, { depth: 8, sorted: true, breakLength: 100, maxStringLength: textCharsMax }))
}

/** Anything that can be thrown, as a TestError. `cwd` decides which stack frame counts as the user's own. */
function toTestError(thrown, cwd) {
  if (thrown === null || typeof thrown !== 'object') return { message: plain(show(thrown)) }
  const message = typeof thrown.message === 'string' && thrown.message !== '' ? thrown.message : show(thrown)
  const error = { message: cut(plain(message)) }
  const type = typeof thrown.name === 'string' ? thrown.name : undefined
  if (type !== undefined) error.type = type
  if (typeof thrown.stack === 'string') {
    error.stack = cut(plain(thrown.stack))
    Object.assign(error, whereThrown(error.stack, cwd))
  }
  if (thrown.cause !== undefined) error.stack = cut(`${error.stack ?? ''}\nCaused by: ${plain(show(thrown.cause))}`)
  if (thrown.showDiff !== false && ('expected' in thrown || 'actual' in thrown)) {
    if (thrown.expected !== undefined) error.expected = show(thrown.expected)
    if (thrown.actual !== undefined) error.actual = show(thrown.actual)
  }
  return error
}

/** The first frame inside `cwd` that is not a dependency's. */
function whereThrown(stack, cwd) {
  for (const line of stack.split('\n')) {
    const match = /\((.*):(\d+):\d+\)$/.exec(line) ?? /^\s*at (?:async )?(.*):(\d+):\d+$/.exec(line)
    if (match === null || match[1].startsWith('node:')) continue
    const file = match[1].startsWith('file://') ? fileURLToPath(match[1]) : path.resolve(cwd, match[1])
    const relative = path.relative(cwd, file)
    if (relative.startsWith('..') || relative.split(path.sep).includes('node_modules')) continue
    return { file: relative.split(path.sep).join('/'), line: Number(match[2]) }
  }
  return {}
}

/** A path as Muster names tasks: relative to `cwd`, with `/`. */
function taskName(cwd, file) {
  return path.relative(cwd, file).split(path.sep).join('/')
}

module.exports = { openChannel, toTestError, taskName, cut, plain, outputCharsMax }
