import { once } from 'node:events'
import http from 'node:http'

/** Starts a small server, calls `use` with its URL, and stops it again. */
export async function withGreeter(use) {
  const server = http.createServer((request, response) => {
    const name = new URL(request.url, 'http://localhost').searchParams.get('name')
    response.writeHead(name ? 200 : 400, { 'content-type': 'application/json' })
    response.end(JSON.stringify(name ? { greeting: `Hello, ${name}` } : { error: 'name is missing' }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await use(`http://127.0.0.1:${server.address().port}`)
  } finally {
    server.close()
    server.closeAllConnections()
  }
}
