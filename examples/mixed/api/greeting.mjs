import http from 'node:http'

export function startGreeter() {
  const server = http.createServer((request, response) => {
    const name = new URL(request.url, 'http://localhost').searchParams.get('name')
    response.writeHead(name ? 200 : 400, { 'content-type': 'application/json' })
    response.end(JSON.stringify(name ? { greeting: `Hello, ${name}` } : { error: 'name is missing' }))
  })
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve({ url: `http://127.0.0.1:${server.address().port}`, server }))
  })
}
