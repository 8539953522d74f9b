/**
 * A reporter of node:test (`--test-reporter`), in the process of `node --test` that starts one process per file.
 *
 * Node tells two stories at once. `test:start/pass/fail` follow the order of definition: everything of one file,
 * then everything of the next, however they were run; `test:complete` follows time. Newer Nodes say with both which file's
 * process they come from (`entryFile`) and give tests ids: then `test:complete` is used, and results are live.
 * Older Nodes leave only the order of definition: there a file's results come when the files before it are done.
 *
 * The process of a file is itself a test (of the file's name) to Node. It counts, and is reported, only where Node counts it: when
 * the file has no tests, or when the process failed and not just a test in it.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const { openChannel, taskName } = createRequire(import.meta.url)('../report-channel.cjs')
const { FileReport } = createRequire(import.meta.url)('./file-report.cjs')

const request = JSON.parse(readFileSync(process.env.MUSTER_NODE_TEST, 'utf8'))
const cwd = process.cwd()
delete process.env.MUSTER_NODE_TEST
delete process.env.MUSTER_CHANNEL_FD

export default request.list === undefined ? report : list

// eslint-disable-next-line require-yield -- nothing is printed, and a reporter must be a generator
async function* report(source) {
  const emit = openChannel(request.channelFd)
  const reports = new Map(request.files.map((file) => [file, new FileReport({ file, emit, cwd })]))
  /** Files in the order in which Node will tell of them. */
  const order = []
  let head = 0
  /** The process of the file whose turn it is has ended: the next test is another file's. */
  let headEnded = false

  const finishUntil = (index) => {
    for (; head < index; head += 1) {
      order[head].finish()
      headEnded = false
    }
  }

  for await (const { type, data } of source) {
    const isWrapper = data.entryFile === undefined && isFileItself(data)
    const own = isWrapper ? reports.get(taskName(cwd, data.file)) : undefined
    if (own !== undefined) {
      if (type === 'test:enqueue') order.push(own)
      else if (type === 'test:dequeue') own.start()
      else if (type === 'test:complete') {
        own.complete(data)
        // Without a word from its tests they are still to come: its process ended before its turn came.
        if (order[head] === own && own.hasBegun) headEnded = true
      } else if (type === 'test:pass' || type === 'test:fail') {
        own.wrapper(data)
        finishUntil(Math.max(head, order.indexOf(own) + 1))
      }
      continue
    }
    const entry = data.entryFile === undefined ? undefined : reports.get(taskName(cwd, data.entryFile))
    if (entry !== undefined) {
      entry.live(type, data)
      continue
    }
    if (type === 'test:stdout' || type === 'test:stderr')
      reports.get(taskName(cwd, data.file ?? ''))?.printed(type, data.message)
    if (type !== 'test:start' && type !== 'test:pass' && type !== 'test:fail' && type !== 'test:enqueue') continue
    // In order of definition: a test of the next file says that the one before has no more.
    const named = data.file === undefined ? undefined : reports.get(taskName(cwd, data.file))
    if (headEnded) finishUntil(head + 1)
    if (named !== undefined && order.includes(named)) finishUntil(Math.max(head, order.indexOf(named)))
    // A test that is defined in a file of helpers belongs to the file whose turn it is; without processes per file, to its own.
    const current = named ?? order[head]
    current?.ordered(type, data)
  }
  for (const one of reports.values()) one.finish()
  emit({ type: 'end' })
}

/** Node queues every file at once, before any is run: so that is the listing, and the process can end. */
// eslint-disable-next-line require-yield
async function* list(source) {
  const files = new Set()
  const write = () => writeFileSync(request.list, JSON.stringify([...files]))
  let waiting = false
  for await (const { type, data } of source) {
    if (type === 'test:enqueue' && isFileItself(data)) files.add(taskName(cwd, data.file))
    if (waiting) continue
    waiting = true
    setTimeout(() => {
      write()
      process.exit(0)
    }, 50)
  }
  write()
}

/** The test that stands for a file's process: named after the file, at its very beginning. */
function isFileItself(data) {
  if (data.nesting !== 0 || data.line !== 1 || data.column !== 1 || typeof data.file !== 'string') return false
  return taskName(cwd, data.file) === taskName(cwd, data.name)
}
