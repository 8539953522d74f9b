/**
 * Runs a command once for each file of a batch, so that each file has an exit code of its own, several at a
 * time when more CPUs are granted. Started by the worker like any framework: writes events to descriptor 3.
 *
 * Usage: node exit-code-driver.mjs ORDER.json with { files: [{ file, argv }], cpus }.
 */
import { spawn } from 'node:child_process'
import { readFileSync, writeSync } from 'node:fs'
import { constants } from 'node:os'

const order = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const descriptor = Number(process.env.MUSTER_CHANNEL_FD)
delete process.env.MUSTER_CHANNEL_FD
const outputCharactersMax = 64 * 1024

function send(event) {
  const bytes = Buffer.from(`${JSON.stringify(event)}\n`)
  let done = 0
  while (done < bytes.length) {
    try {
      done += writeSync(descriptor, bytes, done)
    } catch (error) {
      // A full pipe that doesn't block: its reader is behind.
      if (error.code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
}

/** The end of what came, which is where programs say what went wrong. */
function keepEnd(stream, sink) {
  let text = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk) => {
    sink.write(chunk)
    text = (text + chunk).slice(-outputCharactersMax)
  })
  return () => text
}

function run({ file, argv }) {
  send({ type: 'file-start', file })
  const began = performance.now()
  return new Promise((resolve) => {
    const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
    const stdout = keepEnd(child.stdout, process.stdout)
    const stderr = keepEnd(child.stderr, process.stderr)
    let startError
    child.once('error', (error) => {
      startError = error
    })
    child.once('close', (code, signal) => {
      const durationMs = Math.round((performance.now() - began) * 1000) / 1000
      const output = stdout() + stderr()
      const failed = startError !== undefined || code !== 0
      const message = startError
        ? `cannot start ${argv[0]}: ${startError.code ?? startError.message}`
        : signal
          ? `ended by ${signal}`
          : shellWords(code)
      const test = {
        file,
        name: [file],
        status: failed ? 'failed' : 'passed',
        durationMs,
        ...(failed ? { errors: [{ message, ...(output.trim() === '' ? {} : { stack: output }) }] } : {}),
        ...(output === '' ? {} : { output }),
      }
      send({ type: 'test', test })
      send({ type: 'file-end', file, durationMs })
      if (failed) process.exitCode = 1
      resolve()
    })
  })
}

/** A shell reports its command's death by signal N as 128 + N. */
function shellWords(code) {
  const name =
    code > 128 ? Object.keys(constants.signals).find((one) => constants.signals[one] === code - 128) : undefined
  return name === undefined ? `ended with exit code ${code}` : `ended with exit code ${code} (${name})`
}

const waiting = [...order.files]
async function lane() {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await run(next)
}
await Promise.all(Array.from({ length: Math.min(order.cpus, waiting.length) }, lane))
send({ type: 'end' })
