import { testLog } from './conformance.ts'
import { MemoryLog, MemoryMedium } from './memory.ts'

testLog('MemoryLog', async () => {
  const medium = new MemoryMedium()
  return { open: async () => new MemoryLog(medium), remove: async () => {} }
})
