/** Runs async jobs, at most `limit` at once, results in the order of the jobs. */
export async function runLimited(jobs, limit) {
  const results = []
  let next = 0
  async function work() {
    while (next < jobs.length) {
      const index = next++
      results[index] = await jobs[index]()
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, jobs.length) }, work))
  return results
}
