import { testLog } from './conformance.ts'
import { MemorySharedLog, MemorySharedMedium } from './memory-shared.ts'
import { testSharedLog } from './shared-conformance.ts'

testLog('MemorySharedLog', async () => {
  const medium = new MemorySharedMedium()
  return { open: async () => new MemorySharedLog(medium), remove: async () => {} }
})

testSharedLog('MemorySharedLog', async () => {
  const medium = new MemorySharedMedium()
  const setLink = (link: MemorySharedLog['link']) => (log: unknown) => {
    if (log instanceof MemorySharedLog) log.link = link
  }
  return {
    open: async () => new MemorySharedLog(medium),
    loseAnswers: setLink('unanswered'),
    cutOff: setLink('down'),
    heal: setLink('up'),
    remove: async () => {},
  }
})
