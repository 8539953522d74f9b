/**
 * What `node:http` alone does with the same answers: for every path exactly the bytes that a
 * coordinator has answered. Reads `{path: {headers, body}}` from its standard input, one line each
 * time they change; prints its port, then a line for each set it has taken.
 */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import type { Recorded } from './bare.ts'

let answers = new Map<string, Recorded>()

const server = http.createServer((request, response) => {
  const answer = answers.get(request.url!)
  if (!answer) return response.writeHead(404).end()
  return response.writeHead(200, answer.headers).end(answer.body)
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`))

createInterface({ input: process.stdin })
  .on('line', (line) => {
    answers = new Map(Object.entries(JSON.parse(line) as Record<string, Recorded>))
    process.stdout.write('taken\n')
  })
  .on('close', () => process.exit(0))
